"""Installs: the table, the record, and every transition it can make (docs/lifecycle.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Column, Connection, Index, Integer, String, Table, func, select, text

from foundation.errors import IllegalTransition
from foundation.store import PydanticJson, Utc, lease
from foundation.store.counts import by_state
from foundation.store.frozen import replace
from foundation.store.lease import LeasedRow, Terms
from foundation.store.records import Records
from foundation.store.types import Bytewise, Word, metadata
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted, InstallStaged
from schemas.values import Cause, Customer, Model, Priority
from services.installer.history import Entry, History
from services.installer.states import MailState, State, WaitingFor

OVERDUE = timedelta(minutes=15)
"""How long after its batch began a staged install may wait before it is delivered again; also how long after its
completion nothing may be heard of its mail."""

ASLEEP = timedelta(days=1)
"""How long an install may wait for its turn until the recovery sweep looks whether it does so rightly."""

AHEAD: Mapping[Priority, timedelta] = {"high": timedelta(days=1), "normal": timedelta(0), "low": timedelta(hours=-1)}
"""How far before others an install of this priority stands that waits for its server; so nothing waits for ever."""

PENDING = frozenset({State.STAGED, State.WAITING})
"""The states in which an install can be begun."""

_ATTEMPT_FAILED = "attempt failed"
_LOOKED = ("looked", "resolved")
"""What says in a history that somebody knows how the account is: an attempt, or staff."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.STAGED: frozenset({State.STAGED, State.WAITING, State.INSTALLING, State.CANCELLED}),
    State.WAITING: frozenset({State.WAITING, State.INSTALLING, State.STAGED, State.FAILED, State.CANCELLED}),
    State.INSTALLING: frozenset({State.INSTALLED, State.STAGED, State.WAITING, State.FAILED, State.CANCELLED}),
    State.FAILED: frozenset({State.STAGED, State.RESOLVED, State.CANCELLED}),
    State.RESOLVED: frozenset({State.CANCELLED}),
    State.INSTALLED: frozenset(),
    State.CANCELLED: frozenset(),
}


def _only(where: str) -> dict[str, Any]:
    """Return what makes an index one of some rows only."""
    return {"sqlite_where": text(where), "postgresql_where": text(where)}


class Ending(Model):
    """How an install is to end, and who wants that: it runs, or may have a site that somebody has to look for first.
    Its worker looks for this before each step."""

    cause: Cause | None = None
    """Why it fails; None if it is cancelled."""
    reason: str = ""
    by: str | None = None
    command_id: str | None = None
    trace: Trace
    attempts: int = 0
    """How many attempts had been begun by then. Later ones only look, and count for nothing."""


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
    Column("ending", PydanticJson(Ending)),
    Column("history", PydanticJson(History), nullable=False),
    Column("staged", PydanticJson(InstallStaged), nullable=False),
    Column("completed", PydanticJson(InstallCompleted)),
    Column("mail_state", Word(MailState), nullable=False),
    Column("mail_cause", PydanticJson(Cause)),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("staged_at", Utc, nullable=False),
    Column("in_line_since", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("replaced", Integer),
    Column("waiting_for", Word(WaitingFor)),
    Column("waiting_since", Utc),
    Column("waiting_until", Utc),
    Column("woken_at", Utc),
    # Of limited servers: what runs on them, and what waits. Few rows are in these at a time.
    Index("ix_installs_running", "server", **_only("lease_owner IS NOT NULL")),
    Index("ix_installs_waiting", "server", "in_line_since", **_only("waiting_for IS NOT NULL")),
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
    ending: Ending | None = None
    """How it ends unless its site turns out to be complete."""
    history: History = field(default_factory=History)
    staged: InstallStaged
    completed: InstallCompleted | None = None
    mail_state: MailState = MailState.WAITING
    mail_cause: Cause | None = None
    trace: Trace
    """Of the event that staged it."""
    staged_at: datetime
    in_line_since: datetime
    """Its place among those that wait for their server: when it was staged, or as if that had been `AHEAD` of it."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    replaced: int | None = None
    """The newest generation whose site was there when this one was completed."""
    waiting_for: WaitingFor | None = None
    """What it waits for, or was taken for a look whether that is there now."""
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    """When it fails if it still waits; None while it only waits for its turn, or to be looked at before it ends."""
    woken_at: datetime | None = None
    """Since when its message is on the way, because there is room on its server."""

    @property
    def ref(self) -> dict[str, Any]:
        """Its names in events."""
        return {"install_id": self.install_id, "order_id": self.order_id, "generation": self.generation}

    @property
    def may_stand(self) -> bool:
        """Whether an attempt ended without a word, with its worker, and nobody has looked since what that has left: its
        site may be served."""
        for entry in reversed(self.history.entries):
            if entry.what in _LOOKED:
                return False
            if entry.what == _ATTEMPT_FAILED and entry.cause and entry.cause.code == "worker_lost":
                return True
        return False

    @property
    def ends_as(self) -> State | None:
        """What it becomes, unless its site turns out to be complete; None if it is not to end."""
        if self.ending is None:
            return None
        return State.FAILED if self.ending.cause else State.CANCELLED

    @property
    def only_looks(self) -> bool:
        """Whether its last attempt was begun for nothing but to look what a lost worker has left."""
        return self.attempt > self._tried

    @property
    def _tried(self) -> int:
        """How many attempts have been begun, but for those that only look."""
        return self.ending.attempts if self.ending else self.attempt

    @property
    def current_attempt(self) -> int:
        """The number, from 1, of the attempt that comes next while it is staged or waits; else of the last one."""
        comes_next = self.ending is None and self.state in PENDING
        return max(1, self._tried + comes_next)

    @property
    def begins_at(self) -> datetime:
        """When the batch begins that takes it while it is staged, as the installer knew that staged it."""
        return max(self.due_at, self.check_at - OVERDUE) if self.check_at else self.due_at

    def begun(self, terms: Terms, now: datetime, max_attempts: int) -> Self:
        """A worker takes it, for its next attempt."""
        begun = self._to(State.INSTALLING).claimed(terms, now)
        return replace(begun, max_attempts=max_attempts, started_at=now, woken_at=None)

    def not_begun(self, check_at: datetime) -> Self:
        """The worker gives it back before it has begun: that was no attempt."""
        return self._to(State.STAGED).unclaimed().released(self.due_at, check_at, self.cause)

    @property
    def is_asleep(self) -> bool:
        """Whether no message of its own is on the way: it waits until it is woken."""
        of_server = self.waiting_for in (WaitingFor.CAPACITY, WaitingFor.SERVER)
        return self.state == State.WAITING and of_server and self.woken_at is None

    def has_waited_enough(self, now: datetime) -> bool:
        """Whether it fails if what it waits for is still missing."""
        return self.waiting_until is not None and now >= self.waiting_until

    def waits(
        self,
        what: WaitingFor,
        cause: Cause,
        now: datetime,
        *,
        until: datetime | None = None,
        again_at: datetime | None = None,
        check_at: datetime | None = None,
    ) -> Self:
        """Something is missing that no attempt can bring about: it waits without a worker, and that was no attempt.
        It is looked at `again_at`; or else when it is woken."""
        until = self.waiting_until or until
        deadline = until if until and what != WaitingFor.CAPACITY else now + ASLEEP
        waiting = self._to(State.WAITING)
        waiting = waiting.unclaimed() if self.state == State.INSTALLING else waiting
        return replace(
            waiting.released(again_at or self.due_at, check_at or deadline, cause),
            waiting_for=what,
            waiting_since=self.waiting_since if self.waiting_for == what else now,
            waiting_until=until,
            woken_at=None,
        )

    def installed(
        self, completed: InstallCompleted, mail: MailState, now: datetime, replaced: int | None = None
    ) -> Self:
        """The site answers, in the place of that of another generation if one was `replaced`. If a mail is to follow,
        news of it is expected."""
        return replace(
            self._to(State.INSTALLED).ended(),
            check_at=now + OVERDUE if mail == MailState.WAITING else None,
            completed=completed,
            mail_state=mail,
            finished_at=now,
            replaced=replaced,
            history=self._history(now, "installed", attempt=self.current_attempt),
        )

    def staged_again(self, cause: Cause, due_at: datetime, check_at: datetime, now: datetime) -> Self:
        """An attempt failed, and there will be another."""
        again = self._to(State.STAGED).released(due_at, check_at, cause)
        return replace(again, history=self._history(now, _ATTEMPT_FAILED, attempt=self.current_attempt, cause=cause))

    def wanted(self, ending: Ending) -> Self:
        """It is to end like that. Of several cancels the first counts, and any counts more than a failure."""
        if self.ending and (self.ending.cause is None or ending.cause):
            return self
        return replace(self, ending=ending.model_copy(update={"attempts": self._tried}))

    def to_be_looked_at(self, now: datetime, check_at: datetime) -> Self:
        """Its site may stand: it ends once somebody has looked, from now on."""
        return replace(self._to(State.STAGED).released(now, check_at, self.cause), finished_at=None)

    def looked(self, now: datetime) -> Self:
        """Nothing of it stands: an attempt has looked, and taken back what a lost worker had left."""
        return replace(self, history=self._history(now, "looked")) if self.may_stand else self

    def failed(self, cause: Cause, max_attempts: int, now: datetime) -> Self:
        """It failed for good, after as many attempts as there are at most for this cause."""
        over = self._to(State.FAILED).ended(cause)
        history = self._history(now, "failed", attempt=self._tried or None, cause=cause)
        return replace(
            over, attempt=self._tried, max_attempts=max_attempts, finished_at=now, history=history, ending=None
        )

    def retried(self, check_at: datetime, now: datetime, by: str | None) -> Self:
        """Staff want it tried now, with all its attempts before it once more, and not to end."""
        again = self._to(State.STAGED).restarted().released(now, check_at, self.cause)
        return replace(again, ending=None, finished_at=None, history=self._history(now, "retried", by=by))

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
        if self.waiting_for is None or state in (State.WAITING, State.INSTALLING):
            return replace(self, state=state)
        return replace(self, state=state, waiting_for=None, waiting_since=None, waiting_until=None, woken_at=None)

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
        return self._as(state, cause, None)

    def on_its_way(self, check_at: datetime) -> Self:
        """Staff have it sent once more; the mailer is to be asked for it then."""
        return self._as(MailState.WAITING, None, check_at)

    def _as(self, state: MailState, cause: Cause | None, check_at: datetime | None) -> Self:
        kept = check_at if self.state == State.INSTALLED else self.check_at
        return replace(self, mail_state=state, mail_cause=cause, check_at=kept)


MAILS = Records(installs, MailOfInstall, key="install_id", owner="order_id")


def goes_on(connection: Connection, claim: Install) -> bool:
    """Whether a claim still holds, and the install is not to end."""
    mine = (installs.c.install_id == claim.install_id, installs.c.fence == claim.fence)
    wanted = (installs.c.state == State.INSTALLING, installs.c.ending.is_(None))
    return connection.execute(select(installs.c.fence).where(*mine, *wanted)).first() is not None


def counts(connection: Connection) -> dict[State, int]:
    """How many installs are in each state."""
    return by_state(connection, installs.c.state, State)


def oldest_pending_seconds(connection: Connection, now: datetime) -> float:
    """For how long the oldest install waits that is staged or being installed; 0 if there is none."""
    pending = installs.c.state.in_([State.STAGED, State.INSTALLING])
    since = connection.execute(select(func.min(installs.c.staged_at)).where(pending)).scalar_one()
    return (now - since).total_seconds() if since else 0.0
