"""Installs: the table, the record, and every transition it can make (docs/lifecycle.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Column, Connection, Integer, String, Table, func, select

from foundation.errors import IllegalTransition
from foundation.store import PydanticJson, Utc, lease
from foundation.store.counts import by_state
from foundation.store.frozen import replace
from foundation.store.lease import LeasedRow, Terms
from foundation.store.records import Records
from foundation.store.types import Bytewise, Word, metadata
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted, InstallStaged
from schemas.values import Cause, Customer
from services.installer.history import Entry, History
from services.installer.states import MailState, State

OVERDUE = timedelta(minutes=15)
"""How long after its batch began a staged install may wait before it is delivered again; also how long after its
completion nothing may be heard of its mail."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.STAGED: frozenset({State.STAGED, State.INSTALLING, State.CANCELLED}),
    State.INSTALLING: frozenset({State.INSTALLED, State.STAGED, State.FAILED}),
    State.FAILED: frozenset({State.STAGED, State.RESOLVED, State.CANCELLED}),
    State.RESOLVED: frozenset({State.CANCELLED}),
    State.INSTALLED: frozenset(),
    State.CANCELLED: frozenset(),
}

installs = Table(
    "installs",
    metadata,
    Column("install_id", Bytewise(80), primary_key=True),
    Column("order_id", Bytewise(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("site_type", String(32), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("server", String(200), nullable=False),
    Column("state", Word(State), nullable=False),
    *lease.columns(),
    Column("max_attempts", Integer),
    Column("reason", String(200)),
    Column("history", PydanticJson(History), nullable=False),
    Column("staged", PydanticJson(InstallStaged), nullable=False),
    Column("completed", PydanticJson(InstallCompleted)),
    Column("mail_state", Word(MailState), nullable=False),
    Column("mail_cause", PydanticJson(Cause)),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("staged_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
)


@dataclass(frozen=True, kw_only=True)
class Install(LeasedRow):
    """One install. Each transition gives a new record, or raises IllegalTransition."""

    install_id: str
    order_id: str
    generation: int
    site_type: str
    domain: str
    server: str
    state: State = State.STAGED
    max_attempts: int | None = None
    """As the installer had it that last took the install."""
    reason: str | None = None
    """Why it was cancelled, or how it was resolved, as whoever did that said."""
    history: History = field(default_factory=History)
    staged: InstallStaged
    completed: InstallCompleted | None = None
    mail_state: MailState = MailState.WAITING
    mail_cause: Cause | None = None
    trace: Trace
    """Of the event that staged it."""
    staged_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def ref(self) -> dict[str, Any]:
        """Its names in events."""
        return {"install_id": self.install_id, "order_id": self.order_id, "generation": self.generation}

    @property
    def current_attempt(self) -> int:
        """The number, from 1, of the attempt that comes next while it is staged; else of the last one."""
        return max(1, self.attempt + (self.state == State.STAGED))

    @property
    def begins_at(self) -> datetime:
        """When the batch begins that takes it while it is staged, as the installer knew that staged it."""
        return max(self.due_at, self.check_at - OVERDUE) if self.check_at else self.due_at

    def begun(self, terms: Terms, now: datetime, max_attempts: int) -> Self:
        """A worker takes it, for its next attempt."""
        return replace(self._to(State.INSTALLING).claimed(terms, now), max_attempts=max_attempts, started_at=now)

    def not_begun(self, check_at: datetime) -> Self:
        """The worker gives it back before it has begun: that was no attempt."""
        return self._to(State.STAGED).unclaimed().released(self.due_at, check_at, self.cause)

    def installed(self, completed: InstallCompleted, mail: MailState, now: datetime) -> Self:
        """The site answers. If a mail is to follow, news of it is expected."""
        return replace(
            self._to(State.INSTALLED).ended(),
            check_at=now + OVERDUE if mail == MailState.WAITING else None,
            completed=completed,
            mail_state=mail,
            finished_at=now,
            history=self._history(now, "installed", attempt=self.attempt),
        )

    def staged_again(self, cause: Cause, due_at: datetime, check_at: datetime, now: datetime) -> Self:
        """An attempt failed, and there will be another."""
        again = self._to(State.STAGED).released(due_at, check_at, cause)
        return replace(again, history=self._history(now, "attempt failed", attempt=self.attempt, cause=cause))

    def failed(self, cause: Cause, max_attempts: int, now: datetime) -> Self:
        """It failed for good, after as many attempts as there are at most for this cause."""
        over = self._to(State.FAILED).ended(cause)
        history = self._history(now, "failed", attempt=self.attempt, cause=cause)
        return replace(over, max_attempts=max_attempts, finished_at=now, history=history)

    def retried(self, check_at: datetime, now: datetime, by: str | None) -> Self:
        """Staff want it tried now, with all its attempts before it once more."""
        again = self._to(State.STAGED).restarted().released(now, check_at, self.cause)
        return replace(again, finished_at=None, history=self._history(now, "retried", by=by))

    def resolved(self, note: str, now: datetime, by: str | None) -> Self:
        """Staff have dealt with it by hand: nothing more is to be done."""
        over = self._to(State.RESOLVED).ended(self.cause)
        return replace(over, reason=note, finished_at=now, history=self._history(now, "resolved", by=by, reason=note))

    def cancelled(self, reason: str, now: datetime, by: str | None = None) -> Self:
        """It will not be installed."""
        gone = self._to(State.CANCELLED).ended(self.cause)
        history = self._history(now, "cancelled", by=by, reason=reason)
        return replace(gone, reason=reason[:200], finished_at=now, history=history)

    def amended(self, customer: Customer) -> Self:
        """It is for a customer whose name or address was corrected."""
        return replace(self, staged=self.staged.model_copy(update={"customer": customer}))

    def watched(self, check_at: datetime | None) -> Self:
        """A recovery sweep looks at it at another time, or no more."""
        return replace(self, check_at=check_at)

    def _to(self, state: State) -> Self:
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(self.install_id, self.state, state)
        return replace(self, state=state)

    def _history(self, now: datetime, what: str, **told: Any) -> History:
        return self.history.then(Entry(at=now, what=what, **told))


INSTALLS = Records(installs, Install, key="install_id", owner="order_id")


@dataclass(frozen=True)
class MailOfInstall:
    """What is kept of an install's mail: these columns alone, because reading the documents beside them costs more."""

    install_id: str
    order_id: str
    state: State
    check_at: datetime | None
    mail_state: MailState
    mail_cause: Cause | None

    def told(self, state: MailState, cause: Cause | None = None) -> Self:
        """What became of it; nobody has to be asked any more."""
        check_at = None if self.state == State.INSTALLED else self.check_at
        return replace(self, mail_state=state, mail_cause=cause, check_at=check_at)


MAILS = Records(installs, MailOfInstall, key="install_id", owner="order_id")


def counts(connection: Connection) -> dict[State, int]:
    """How many installs are in each state."""
    return by_state(connection, installs.c.state, State)


def oldest_pending_seconds(connection: Connection, now: datetime) -> float:
    """For how long the oldest install waits that is staged or being installed; 0 if there is none."""
    pending = installs.c.state.in_([State.STAGED, State.INSTALLING])
    since = connection.execute(select(func.min(installs.c.staged_at)).where(pending)).scalar_one()
    return (now - since).total_seconds() if since else 0.0
