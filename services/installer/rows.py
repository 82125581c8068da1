"""What the installer decides on: all installs of some orders, in memory for one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from foundation.store.records import Loaded, lock
from schemas.envelope import Event
from services.installer.installs import INSTALLS, Install


@dataclass(frozen=True)
class InstallRows:
    """All generations of some orders."""

    installs: Loaded[Install]

    def siblings(self, install: Install) -> Sequence[Install]:
        """The other generations of its order."""
        return [other for other in self.installs.of(install.order_id) if other.install_id != install.install_id]

    def flush(self, connection: Connection) -> None:
        """Write what was changed."""
        self.installs.flush(connection)


def load(connection: Connection, orders: Sequence[str], _events: Sequence[Event[Any]]) -> InstallRows:
    """The orders are locked as well: two generations that have no row yet must not be installed side by side."""
    lock(connection, orders)
    return InstallRows(INSTALLS.load(connection, orders))
