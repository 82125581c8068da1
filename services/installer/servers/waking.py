"""Waking installs that wait for their server, when it has room again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from foundation.handling.unit_of_work import UnitOfWork
from foundation.store import bulk
from services.installer import telling
from services.installer.installs import INSTALLS, Install, installs
from services.installer.states import State, WaitingFor

_waits_for_its_server = (
    installs.c.waiting_for.is_not(None),
    installs.c.waiting_for.in_([WaitingFor.CAPACITY, WaitingFor.SERVER]),
    installs.c.state == State.WAITING,
)
"""Installs that nobody moves on until they are woken."""


@dataclass(frozen=True)
class Waking:
    """Wakes installs in their turn. Each is decided upon again."""

    queue_of: Callable[[Install], str]
    """Where an install comes due."""
    overdue_at: Callable[[Install, datetime], datetime]
    """When an install that is due then is overdue."""

    def wake(self, uow: UnitOfWork[Any], server: str, room: int) -> None:
        """Wake so many installs, less those that were woken and have not begun; one at most on a server that fails."""
        standing = uow.rows.standings.of(server)
        if standing.is_shut(uow.now):
            return
        waiting = (installs.c.server == server, *_waits_for_its_server)
        woken = select(func.count()).where(*waiting, installs.c.woken_at.is_not(None))
        room = (min(room, 1) if standing.is_failing else room) - uow.connection.execute(woken).scalar_one()
        if room <= 0:
            return
        asleep = INSTALLS.select().where(*waiting, installs.c.woken_at.is_(None)).order_by(installs.c.in_line_since)
        # Rows that another transaction has are being woken by it, or begun.
        found = INSTALLS.read(uow.connection.execute(asleep.limit(room).with_for_update(skip_locked=True)))
        changed = [(self.overdue_at(it, uow.now), uow.now, it.install_id) for it in found]
        if changed:
            bulk.change(uow.connection, installs, ("check_at", "woken_at", "install_id"), changed)
        for install in found:
            uow.redeliver(telling.staged(install), self.queue_of(install), install.order_id, install.trace)


def with_sleepers(connection: Connection) -> list[str]:
    """Return the servers that installs wait for which nobody has woken."""
    asleep = select(installs.c.server).where(*_waits_for_its_server, installs.c.woken_at.is_(None))
    return list(connection.execute(asleep.distinct()).scalars())
