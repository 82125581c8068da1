"""How much of a service's work runs on a hosting server at a time, over all its replicas: further work waits, and is
woken as other work ends."""

from collections.abc import Callable
from typing import Any

from foundation.config.settings import Settings
from foundation.handling.unit_of_work import UnitOfWork
from schemas.values import Cause

_AT_A_TIME = 100
"""How many are woken at once of a server without a limit."""


class Concurrency:
    """Keeps servers within `servers.<name>.concurrency`, and limited servers busy."""

    def __init__(
        self, settings: Settings, busy: Callable[[str, int], Cause], wake: Callable[[UnitOfWork[Any], str, int], None]
    ) -> None:
        """`busy` says why something waits for a server where so many run; `wake` wakes so many of those that wait."""
        self._limits = {name: server.concurrency for name, server in settings.servers.items() if server.concurrency}
        self._busy = busy
        self._wake_some = wake

    def missing(self, uow: UnitOfWork[Any], server: str) -> Cause | None:
        """Return why nothing more may begin on a server: as much runs there as may."""
        limit = self._limits.get(server)
        if limit is None or uow.rows.running.on(server, self._limits) < limit:
            return None
        return self._busy(server, limit)

    def begun(self, uow: UnitOfWork[Any], server: str) -> None:
        """Count one that runs from now on."""
        uow.rows.running.add(server, 1)

    def ended(self, uow: UnitOfWork[Any], server: str) -> None:
        """Count one that runs no more, and wake those that wait for its place."""
        uow.rows.running.add(server, -1)
        if server in self._limits:
            self.wake(uow, server)

    def wake(self, uow: UnitOfWork[Any], server: str) -> None:
        """Wake as many as the server has room for, once this transaction's own changes are written."""
        uow.afterwards["wake", server] = lambda uow: self._wake(uow, server)

    def _wake(self, uow: UnitOfWork[Any], server: str) -> None:
        limit = self._limits.get(server)
        room = limit - uow.rows.running.written([server]).get(server, 0) if limit else _AT_A_TIME
        if room > 0:
            self._wake_some(uow, server, room)
