"""How many installs run on a server at a time, over all replicas: further ones wait, and are woken as others end."""

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from foundation.config.settings import Settings
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting.causes import busy
from foundation.store import bulk
from foundation.store.records import lock
from schemas.values import Cause
from services.installer import telling
from services.installer.installs import INSTALLS, Install, installs
from services.installer.states import State, WaitingFor

_AT_A_TIME = 100
"""How many are woken at once of a server without a limit."""

_runs = installs.c.lease_owner.is_not(None)
_waits_for_its_server = (
    installs.c.waiting_for.is_not(None),
    installs.c.waiting_for.in_([WaitingFor.CAPACITY, WaitingFor.SERVER]),
    installs.c.state == State.WAITING,
)
"""Installs that nobody moves on until they are woken."""


def count_running(connection: Connection, servers: Collection[str]) -> dict[str, int]:
    """Return how many installs run on each of these servers, which no other transaction begins any on meanwhile."""
    lock(connection, (f"server {server}" for server in servers))
    running = select(installs.c.server, func.count().label("number")).where(_runs, installs.c.server.in_(servers))
    return {row.server: row.number for row in connection.execute(running.group_by(installs.c.server))}


class Capacity:
    """Keeps servers within their limits, and limited servers busy."""

    def __init__(
        self, settings: Settings, queue_of: Callable[[Install], str], overdue_at: Callable[[str, datetime], datetime]
    ) -> None:
        """Create it with what says where an install comes due, and when one of this site type of now is overdue."""
        self.limits = {name: server.concurrency for name, server in settings.servers.items() if server.concurrency}
        self._queue_of = queue_of
        self._overdue_at = overdue_at

    def is_full(self, uow: UnitOfWork[Any], server: str) -> bool:
        """Whether as many installs run on a server as may."""
        limit = self.limits.get(server)
        return limit is not None and uow.rows.running.on(server, self.limits) >= limit

    def cause(self, server: str) -> Cause:
        """Return why an install waits for a server that is full."""
        return busy(server, self.limits[server], "installs run")

    def begun(self, uow: UnitOfWork[Any], install: Install) -> None:
        """Count one that runs from now on."""
        uow.rows.running.add(install.server, 1)

    def ended(self, uow: UnitOfWork[Any], install: Install) -> None:
        """Count one that runs no more, and wake those that wait for its place."""
        uow.rows.running.add(install.server, -1)
        if install.server in self.limits:
            self.wake(uow, install.server)

    def wake(self, uow: UnitOfWork[Any], server: str) -> None:
        """Wake as many installs as the server has room for, once this transaction's own changes are written."""
        uow.afterwards["wake", server] = partial(self._wake, server=server)

    def _wake(self, uow: UnitOfWork[Any], server: str) -> None:
        waiting = (installs.c.server == server, *_waits_for_its_server)
        standing = uow.rows.standings.of(server)
        if standing.is_shut(uow.now):
            return
        here = select(func.count()).where(installs.c.server == server)
        running = uow.connection.execute(here.where(_runs)).scalar_one() if server in self.limits else 0
        woken = uow.connection.execute(here.where(*waiting, installs.c.woken_at.is_not(None))).scalar_one()
        room = (1 if standing.is_failing else self.limits.get(server, _AT_A_TIME)) - running - woken
        if room <= 0:
            return
        asleep = INSTALLS.select().where(*waiting, installs.c.woken_at.is_(None)).order_by(installs.c.in_line_since)
        # Rows that another transaction has are being woken by it, or begun.
        found = INSTALLS.read(uow.connection.execute(asleep.limit(room).with_for_update(skip_locked=True)))
        changed = [(self._overdue_at(it.site_type, uow.now), uow.now, it.install_id) for it in found]
        if changed:
            bulk.change(uow.connection, installs, ("check_at", "woken_at", "install_id"), changed)
        for install in found:
            uow.redeliver(telling.staged(install), self._queue_of(install), install.order_id, install.trace)


def with_sleepers(connection: Connection) -> list[str]:
    """Return the servers that installs wait for which nobody has woken."""
    asleep = select(installs.c.server).where(*_waits_for_its_server, installs.c.woken_at.is_(None))
    return list(connection.execute(asleep.distinct()).scalars())
