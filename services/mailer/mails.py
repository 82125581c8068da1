"""Mails: the mailer's table, its record, and every transition that it can make.

One row for each install. A mail is claimed before it is sent, and its row is leased meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Column, Integer, String, Table

from foundation.errors import IllegalTransition
from foundation.store import PydanticJson, Utc, lease
from foundation.store.frozen import replace
from foundation.store.lease import LeasedRow, Terms
from foundation.store.records import Records
from foundation.store.types import Bytewise, Word, metadata
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted
from schemas.values import Cause, Customer
from services.mailer.states import State

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.WAITING: frozenset({State.WAITING, State.SENDING, State.SUPPRESSED}),
    State.SENDING: frozenset({State.WAITING, State.SENT, State.FAILED}),
    State.SENT: frozenset({State.WAITING}),
    State.FAILED: frozenset({State.WAITING}),
    State.SUPPRESSED: frozenset({State.WAITING}),
}
"""What can follow each state; docs/lifecycle.md says when it does."""

LEASE = timedelta(seconds=30)
"""How long a worker may be silent before its mail is another's."""
OVERDUE = timedelta(seconds=30)
"""How long after a mail is due its message may take, before a recovery sweep sends another."""
HELD = frozenset({"letters_limit"})
"""Causes for which a mail waits as long as it takes."""
_EARLY = timedelta(seconds=1)
"""How far clocks may differ before an attempt counts as early."""

mails = Table(
    "mails",
    metadata,
    Column("install_id", Bytewise(80), primary_key=True),
    Column("order_id", Bytewise(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("state", Word(State), nullable=False, index=True),
    *lease.columns(),
    Column("max_attempts", Integer),
    Column("resends", Integer, nullable=False),
    Column("copy", Integer, nullable=False),
    Column("reason", String(200)),
    Column("message_id", String(400)),
    Column("completed", PydanticJson(InstallCompleted), nullable=False),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("sent_at", Utc),
)


@dataclass(frozen=True, kw_only=True)
class Mail(LeasedRow):
    """One mail. Its passwords are sealed in `completed`."""

    install_id: str
    order_id: str
    generation: int
    recipient: str
    """Where its last attempt went, or its next one goes."""
    state: State
    max_attempts: int | None = None
    """As the mailer had it that last claimed the mail."""
    resends: int = 0
    """How often staff had it sent again."""
    copy: int = 0
    """How often they did so after it had been sent: that is another letter, and has another Message-ID."""
    reason: str | None = None
    """Why it is suppressed."""
    message_id: str | None = None
    completed: InstallCompleted
    trace: Trace
    """Of the event that asked for it."""
    created_at: datetime
    sent_at: datetime | None = None

    @classmethod
    def of(cls, completed: InstallCompleted, trace: Trace, now: datetime) -> Self:
        """A new mail, due now."""
        return cls(
            install_id=completed.install_id,
            order_id=completed.order_id,
            generation=completed.generation,
            recipient=completed.customer.email,
            state=State.WAITING,
            due_at=now,
            check_at=now + OVERDUE,
            completed=completed,
            trace=trace,
            created_at=now,
        )

    @property
    def claim(self) -> str:
        """A unique name of its last attempt."""
        return f"{self.install_id}/{self.fence}"

    @property
    def names(self) -> dict[str, object]:
        """The fields that name it in a log line."""
        return {"order_id": self.order_id, "install_id": self.install_id, "attempt": self.attempt}

    @property
    def is_on_its_way(self) -> bool:
        """Whether it will be sent, or fail, without staff; one that a limit holds back can be resent."""
        held = self.cause is not None and self.cause.code in HELD
        return self.state == State.SENDING or (self.state == State.WAITING and not held)

    def rests(self, now: datetime) -> bool:
        """Whether a message about it has nothing to do: it is being sent, or not due yet."""
        if self.state == State.SENDING:
            return self.is_leased(now)
        return self.state == State.WAITING and self.due_at > now + _EARLY

    def is_outdated(self, siblings: Iterable["Mail"]) -> bool:
        """Whether a newer install of its order has a mail: the credentials in this one are void."""
        return any(other.generation > self.generation for other in siblings)

    def sending(self, terms: Terms, now: datetime, max_attempts: int) -> Self:
        """Return it claimed for one more attempt."""
        return replace(self._to(State.SENDING).claimed(terms, now), max_attempts=max_attempts)

    def sent(self, message_id: str, now: datetime) -> Self:
        return replace(self._to(State.SENT).ended(), message_id=message_id, sent_at=now)

    def failed(self, cause: Cause) -> Self:
        """Return it failed for good."""
        return self._to(State.FAILED).ended(cause)

    def put_off(self, due_at: datetime, cause: Cause | None) -> Self:
        """Return it waiting for another attempt at `due_at`, addressed to the customer as he is now."""
        waiting = self._to(State.WAITING).released(due_at, due_at + OVERDUE, cause)
        return replace(waiting, recipient=self.completed.customer.email, reason=None)

    def suppressed(self, reason: str) -> Self:
        """Return it as one that will not be sent."""
        return replace(self._to(State.SUPPRESSED).ended(), reason=reason)

    def reopened(self, now: datetime) -> Self:
        """Return it due now, with all its attempts ahead of it."""
        return self.put_off(now, None).restarted()

    def resent(self, recipient: str | None, now: datetime) -> Self:
        """Return it reopened by staff; to another address if one is given."""
        customer = self.completed.customer
        if recipient:
            customer = customer.model_copy(update={"email": recipient})
        copy = self.copy + (self.state == State.SENT)
        return replace(self.amended(customer).reopened(now), resends=self.resends + 1, copy=copy)

    def amended(self, customer: Customer) -> Self:
        """Return it addressed to the corrected customer, from the next attempt on."""
        completed = self.completed.model_copy(update={"customer": customer})
        recipient = customer.email if self.state == State.WAITING else self.recipient
        return replace(self, completed=completed, recipient=recipient)

    def looked_at(self, now: datetime) -> Self:
        """Return it with its next recovery check put off."""
        return replace(self, check_at=now + OVERDUE)

    def _to(self, state: State) -> Self:
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(self.install_id, self.state, state)
        return replace(self, state=state)


MAILS = Records(mails, Mail, key="install_id", owner="order_id")
