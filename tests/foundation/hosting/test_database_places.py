"""A failure of a database begins with the server that a person knows, not with a step of ours."""

from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda databases: databases.create("shop_g1"), id="create"),
        pytest.param(lambda databases: databases.create("x" * 65), id="a long name"),
        pytest.param(lambda databases: databases.drop("shop_g1"), id="drop"),
        pytest.param(lambda databases: databases.names("check_g"), id="list"),
        pytest.param(lambda databases: databases.describe(), id="version"),
    ],
)
def test_whatever_was_asked_the_detail_begins_with_the_servers_place_and_setting(
    tmp_path: Path, ask: Callable[[MariaDatabases], object]
) -> None:
    socket = tmp_path / "gone.sock"
    for databases, place in (
        (MariaDatabases(socket=socket, setting="servers.local.databases"), str(socket)),
        (MariaDatabases(host="127.0.0.1", port=1, setting="servers.local.databases"), "127.0.0.1:1"),
    ):
        with pytest.raises(Failed) as failure:
            ask(databases)
        assert failure.value.cause.detail.startswith(
            f"the database server at {place} (servers.local.databases) could not "
        )
