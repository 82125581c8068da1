"""Installs: the table, and looking into it. How an install moves through its life is in `moves`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Index, Integer, String, Table, func, select

from foundation.store import PydanticJson, Utc
from foundation.store.counts import by_state
from foundation.store.types import metadata
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted, InstallRef, InstallStaged
from schemas.values import Cause
from services.installer import states
from services.installer.history import History

State = states.State

OVERDUE = timedelta(minutes=15)
"""How long after its batch began a staged install may wait before it is woken once more; also how long after
its completion nothing may be heard of its letter."""


installs = Table(
    "installs",
    metadata,
    Column("install_id", String(80), primary_key=True),
    Column("order_id", String(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("site_type", String(32), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("server", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer),
    Column("attempts_before", Integer, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("wake_at", Utc, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(128)),
    Column("lease_until", Utc),
    Column("cause", PydanticJson(Cause)),
    Column("reason", String(200)),
    Column("history", PydanticJson(History), nullable=False),
    Column("staged", PydanticJson(InstallStaged), nullable=False),
    Column("completed", PydanticJson(InstallCompleted)),
    Column("mail_state", String(16), nullable=False),
    Column("mail_cause", PydanticJson(Cause)),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("staged_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Index("ix_installs_state_wake_at", "state", "wake_at"),
)


@dataclass(frozen=True)
class Install:
    """One install as it stands in the table."""

    install_id: str
    order_id: str
    generation: int
    site_type: str
    domain: str
    server: str
    state: State
    attempt: int
    max_attempts: int | None
    """As the installer had it that last took the install."""
    attempts_before: int
    """Those that were made before staff had it tried again."""
    due_at: datetime
    wake_at: datetime
    fence: int
    lease_owner: str | None
    lease_until: datetime | None
    cause: Cause | None
    reason: str | None
    """Why it was cancelled, as whoever did that said."""
    history: History
    staged: InstallStaged
    completed: InstallCompleted | None
    mail_state: str
    mail_cause: Cause | None
    trace: Trace
    """Of the event that staged it."""
    staged_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def begins_at(self) -> datetime:
        """When the batch begins that takes it, as the installer knew that staged it."""
        return max(self.due_at, self.wake_at - OVERDUE)

    @property
    def ref(self) -> InstallRef:
        return InstallRef(install_id=self.install_id, order_id=self.order_id, generation=self.generation)


def find(connection: Connection, install_id: str) -> Install | None:
    row = connection.execute(select(installs).where(installs.c.install_id == install_id)).mappings().first()
    return install_of(row) if row else None


def counts(connection: Connection) -> dict[State, int]:
    """How many installs are in each state."""
    return by_state(connection, installs.c.state, State)


def oldest_pending_seconds(connection: Connection, now: datetime) -> float:
    """For how long the oldest install waits that is staged or being installed; 0 if there is none."""
    pending = installs.c.state.in_([State.STAGED, State.INSTALLING])
    since = connection.execute(select(func.min(installs.c.staged_at)).where(pending)).scalar_one()
    return (now - since).total_seconds() if since else 0.0


def install_of(row: Any) -> Install:
    """The install that a row of the table holds."""
    return Install(
        install_id=row["install_id"],
        order_id=row["order_id"],
        generation=row["generation"],
        site_type=row["site_type"],
        domain=row["domain"],
        server=row["server"],
        state=State(row["state"]),
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        attempts_before=row["attempts_before"],
        due_at=row["due_at"],
        wake_at=row["wake_at"],
        fence=row["fence"],
        lease_owner=row["lease_owner"],
        lease_until=row["lease_until"],
        cause=row["cause"],
        reason=row["reason"],
        history=row["history"],
        staged=row["staged"],
        completed=row["completed"],
        mail_state=row["mail_state"],
        mail_cause=row["mail_cause"],
        trace=row["trace"],
        staged_at=row["staged_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
