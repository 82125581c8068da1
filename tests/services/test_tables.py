"""The tables of all services, and those of the foundation, are what their migrations make."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import foundation.store
import services
from foundation.store import Store
from foundation.store.types import metadata

ROOT = Path(services.__path__[0])
MIGRATIONS = sorted(ROOT.glob("*/migrations"))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/store.db"
    store = Store(url if request.param == "sqlite" else request.getfixturevalue("postgres").database())
    store.migrate(MIGRATIONS)
    yield store
    store.close()


def test_the_migrations_make_what_the_code_expects(store: Store) -> None:
    for room in (foundation.store, services):
        for module in walk_packages(room.__path__, f"{room.__name__}."):
            if ".migrations" not in module.name:
                import_module(module.name)
    assert {"inbox", "outbox", "orders", "installs", "mails"} <= set(metadata.tables)
    with store.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
