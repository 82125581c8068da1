"""Rows for tests of handlers in memory and of tables."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from foundation.handling.unit_of_work import Database, Load
from foundation.store import Store
from foundation.telemetry.tracing import Trace
from schemas.envelope import Event
from schemas.installs import InstallStaged
from schemas.values import Model
from services.installer.installs import Install
from tests.support.house import START


class NoRows:
    """Of a service that keeps none."""

    def flush(self, connection: Connection) -> None:
        return

    def sequence(self, data: Model) -> str | None:
        return None


def no_rows(_connection: Connection, _orders: Sequence[str], _events: Sequence[Event[Any]]) -> NoRows:
    """Loads nothing."""
    return NoRows()


def install_of(staged: InstallStaged, at: datetime) -> Install:
    """Return an install as it is stored when it is staged."""
    return Install(
        install_id=staged.install_id,
        order_id=staged.order_id,
        generation=staged.generation,
        site_type=staged.site.site_type,
        domain=staged.account.domain,
        server=staged.account.server,
        due_at=staged.due_at,
        check_at=staged.due_at + timedelta(minutes=15),
        staged=staged,
        trace=Trace(),
        staged_at=at,
        in_line_since=at,
    )


def on_each_store(service: str, migrations: Path | None, load: Load[Any]) -> Any:
    """Make the fixture of a service's database, on SQLite and on PostgreSQL."""

    @pytest.fixture(params=["sqlite", "postgresql"])
    def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database[Any]]:
        url = f"sqlite:///{tmp_path}/store.db"
        store = Store(url if request.param == "sqlite" else request.getfixturevalue("postgres").database())
        store.migrate([migrations] if migrations else [])
        yield Database(store, service, lambda: START, lambda *_: None, load)
        store.close()

    return database
