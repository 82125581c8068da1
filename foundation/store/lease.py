"""The leased row: work that only one worker does at a time, however many workers there are and whichever of them die.

A claim gives a row a lease and a new fencing token (`fence`). A worker that stops renewing loses the lease; its
token is then stale, so its result is dropped. `check_at` is when a recovery sweep checks that the row still makes
progress: every transition sets it, and a row that needs no attention has none.
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
    """Return the columns of a leased row; they have the same names in every service's table."""
    return [
        Column("sequence", Integer, nullable=False),
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
    """The terms on which a worker claims rows."""

    owner: str
    """Name of the worker, for people: host and process."""
    lease: timedelta
    """How long a lease lasts without renewal."""
    grace: timedelta = timedelta(0)
    """How long after a lease has expired the recovery sweep waits, since the broker redelivers the message as well."""


@dataclass(frozen=True, kw_only=True)
class LeasedRow:
    """The fields of every leased row. A service's record adds its own columns, states and transitions."""

    sequence: int = 0
    """Version of the row: goes up with every change that a handler makes, and says which of two events is later."""
    fence: int = 0
    """The fencing token: goes up with every claim."""
    attempt: int = 0
    """Number of attempts begun since the work was ordered, or restarted by staff."""
    attempts_before: int = 0
    """Number of attempts before staff restarted it."""
    lease_owner: str | None = None
    lease_until: datetime | None = None
    due_at: datetime
    """When the next attempt may begin."""
    check_at: datetime | None = None
    cause: Cause | None = None
    """Why the last attempt failed, or why the work is waiting."""

    @property
    def version(self) -> str:
        """Its `sequence`, as events state it: padded, so that texts compare as numbers."""
        return f"{self.sequence:010}"

    def is_leased(self, now: datetime) -> bool:
        """Whether a worker holds a lease that has not expired."""
        return self.lease_until is not None and self.lease_until > now

    def claimed(self, terms: Terms, now: datetime) -> Self:
        """Return the row leased to a worker for another attempt."""
        until = now + terms.lease
        return replace(
            self,
            fence=self.fence + 1,
            attempt=self.attempt + 1,
            lease_owner=terms.owner,
            lease_until=until,
            check_at=until + terms.grace,
        )

    def released(self, due_at: datetime, check_at: datetime | None, cause: Cause | None = None) -> Self:
        """Return the row without a lease, waiting for another attempt at `due_at`."""
        return replace(self, lease_owner=None, lease_until=None, due_at=due_at, check_at=check_at, cause=cause)

    def unclaimed(self) -> Self:
        """Return the row without counting the last attempt: it was not begun, or put off for no fault of its own."""
        return replace(self, attempt=self.attempt - 1)

    def ended(self, cause: Cause | None = None) -> Self:
        """Return the row without a lease, and out of the recovery sweep's sight."""
        return replace(self, lease_owner=None, lease_until=None, check_at=None, cause=cause)

    def restarted(self) -> Self:
        """Return the row with all its attempts ahead of it again."""
        return replace(self, attempt=0, attempts_before=self.attempts_before + self.attempt)


def overdue(
    connection: Connection, table: Table, owner: str, now: datetime, limit: int, *only: ColumnElement[bool]
) -> list[str]:
    """Return the values of column `owner` of up to `limit` rows whose `check_at` has passed, most overdue first.

    `only` are further conditions. Locks nothing: to act on the rows, load them and check again.
    """
    late = select(table.c[owner]).where(table.c.check_at < now, *only).order_by(table.c.check_at).limit(limit)
    return list(dict.fromkeys(connection.execute(late).scalars()))


def renew(connection: Connection, table: Table, key: str, held: Mapping[str, int], terms: Terms, now: datetime) -> None:
    """Extend the leases on the rows in `held` (key -> fencing token) whose fencing token is still current."""
    until = now + terms.lease
    extended = (
        update(table)
        .where(
            table.c[key] == bindparam("of_row"), table.c.fence == bindparam("under"), table.c.lease_until.is_not(None)
        )
        .values(lease_until=until, check_at=until + terms.grace)
    )
    # In key order, as `Records` locks rows, so that the two never deadlock.
    connection.execute(extended, [{"of_row": row, "under": fence} for row, fence in sorted(held.items())])
