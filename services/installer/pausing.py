"""Whether the timer is paused: one row, which each replica reads before it begins a batch."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from sqlalchemy import Column, Connection, String, Table

from foundation.store import Utc
from foundation.store.records import Records
from foundation.store.types import metadata

TIMER = "timer"
"""The key of the only row."""

timers = Table(
    "timers",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("paused_since", Utc),
    Column("reason", String(200)),
)


@dataclass(frozen=True)
class TimerRow:
    """The timer, as staff have left it; it runs if there is no row."""

    name: str = TIMER
    paused_since: datetime | None = None
    reason: str | None = None

    def paused(self, reason: str | None, now: datetime) -> Self:
        """No batch begins. If it is paused already, it stays so since then, for the latest reason."""
        return replace(self, paused_since=self.paused_since or now, reason=reason)

    def resumed(self) -> Self:
        return replace(self, paused_since=None, reason=None)


TIMERS = Records(timers, TimerRow, key="name")


def paused_since(connection: Connection) -> datetime | None:
    """Return since when no batch begins; None if the timer runs."""
    row = TIMERS.get(connection, TIMER)
    return row.paused_since if row else None
