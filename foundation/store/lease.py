"""The leased row: work that one worker at a time may do, however many there are and whichever of them die.

A claim gives a row a lease and a new fencing token (`fence`). A worker that stops renewing loses the lease; its
token is then stale, so what it brings back is dropped. `check_at` is when a recovery sweep looks whether the row
still moves: every change of a row sets it, and a row that nobody has to look after has none.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Column, ColumnElement, Connection, Integer, String, Table, bindparam, select, update

from foundation.store.frozen import replace
from foundation.store.types import PydanticJson, Utc
from schemas.values import Cause


def columns() -> list[Column[Any]]:
    """The columns of a leased row, under the same names in every service's table."""
    return [
        Column("fence", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("attempts_before", Integer, nullable=False),
        Column("lease_owner", String(128)),
        Column("lease_until", Utc),
        Column("due_at", Utc, nullable=False),
        Column("check_at", Utc, index=True),
        Column("cause", PydanticJson(Cause)),
    ]


def this_process() -> str:
    """Who holds its leases, for people: host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"


@dataclass(frozen=True)
class Terms:
    """On what terms a worker claims rows."""

    owner: str
    """Who it is, for people: host and process."""
    lease: timedelta
    """How long it may be silent before the row is another's."""
    grace: timedelta = timedelta(0)
    """How long after the lease's end a recovery sweep leaves the row to its message, which is delivered again."""


@dataclass(frozen=True, kw_only=True)
class LeasedRow:
    """What every leased row has. A service's record adds its own columns, its states and its transitions."""

    fence: int = 0
    """The fencing token: grows with every claim."""
    attempt: int = 0
    """Attempts begun since the work was ordered, or ordered again by staff."""
    attempts_before: int = 0
    """Those before it was ordered again."""
    lease_owner: str | None = None
    lease_until: datetime | None = None
    due_at: datetime
    """When the next attempt may begin."""
    check_at: datetime | None = None
    cause: Cause | None = None
    """Why the last attempt failed, or the work waits."""

    def is_leased(self, now: datetime) -> bool:
        """Whether a worker has it that has not lost its lease."""
        return self.lease_until is not None and self.lease_until > now

    def claimed(self, terms: Terms, now: datetime) -> Self:
        """Leased to a worker for one more attempt."""
        until = now + terms.lease
        return replace(
            self,
            fence=self.fence + 1,
            attempt=self.attempt + 1,
            lease_owner=terms.owner,
            lease_until=until,
            check_at=until + terms.grace,
        )

    def released(self, due_at: datetime, check_at: datetime, cause: Cause | None = None) -> Self:
        """Waiting for another attempt at `due_at`."""
        return replace(self, lease_owner=None, lease_until=None, due_at=due_at, check_at=check_at, cause=cause)

    def unclaimed(self) -> Self:
        """The claim was no attempt: the work was not begun, or was put off by what is not its fault."""
        return replace(self, attempt=self.attempt - 1)

    def ended(self, cause: Cause | None = None) -> Self:
        """Neither leased nor looked after any more."""
        return replace(self, lease_owner=None, lease_until=None, check_at=None, cause=cause)

    def restarted(self) -> Self:
        """With all its attempts before it once more."""
        return replace(self, attempt=0, attempts_before=self.attempts_before + self.attempt)


def overdue(
    connection: Connection, table: Table, owner: str, now: datetime, limit: int, *only: ColumnElement[bool]
) -> list[str]:
    """The values of the column `owner` of rows that should have moved by now, the longest overdue first. Nothing is
    locked: whoever acts on them loads them first, and looks again."""
    late = select(table.c[owner]).where(table.c.check_at < now, *only).order_by(table.c.check_at).limit(limit)
    return list(dict.fromkeys(connection.execute(late).scalars()))


def renew(connection: Connection, table: Table, key: str, held: Mapping[str, int], terms: Terms, now: datetime) -> None:
    """Extend the leases of rows that are still held under the fencing tokens given with their keys."""
    until = now + terms.lease
    extended = (
        update(table)
        .where(
            table.c[key] == bindparam("of_row"), table.c.fence == bindparam("under"), table.c.lease_until.is_not(None)
        )
        .values(lease_until=until, check_at=until + terms.grace)
    )
    # In the order of keys, as `Records` locks them: two that do so never wait for each other in a circle.
    connection.execute(extended, [{"of_row": row, "under": fence} for row, fence in sorted(held.items())])
