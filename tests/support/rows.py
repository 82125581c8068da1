"""Rows for tests of handlers in memory and of tables."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from foundation.telemetry.tracing import Trace
from schemas.envelope import Event
from schemas.installs import InstallStaged
from services.installer.installs import Install


class NoRows:
    """Of a service that keeps none."""

    def flush(self, connection: Connection) -> None:
        return


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
    )
