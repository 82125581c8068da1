"""Letters: the mailer's table. One row for each install; `install_id` is what makes it one letter.

    waiting -> sending -> sent | waiting (another attempt) | failed ;  suppressed from the start
    waiting | sending -> suppressed (a newer install of the order has a letter: what is in this one opens nothing)
    sent | failed | suppressed -> waiting (staff want it sent again)

A letter is claimed (`sending`) before it is sent, with a lease and a fencing number like an install.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Index, Integer, String, Table, bindparam, or_, select, update

from foundation.runtime.tracing import Trace
from foundation.runtime.tx import Tx
from foundation.store import Kept, Utc
from foundation.store.counts import by_state
from foundation.store.insert import insert_new
from foundation.store.types import metadata
from schemas.installs import InstallCompleted
from schemas.values import Cause
from services.mailer import states

State = states.State


mails = Table(
    "mails",
    metadata,
    Column("install_id", String(80), primary_key=True),
    Column("order_id", String(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("attempts_before", Integer, nullable=False),
    Column("resends", Integer, nullable=False),
    Column("lease_until", Utc),
    Column("wake_at", Utc),
    Column("message_id", String(255)),
    Column("cause", Kept(Cause)),
    Column("completed", Kept(InstallCompleted), nullable=False),
    Column("trace", Kept(Trace), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("sent_at", Utc),
    Index("ix_mails_wake_at", "wake_at"),
)

_LEASE = timedelta(seconds=30)
"""How long a worker may be silent before its letter is another's."""
_EARLY = timedelta(seconds=1)
"""How far clocks may differ before an attempt counts as early."""


@dataclass(frozen=True)
class Mail:
    """One letter as it stands in the table. Its passwords are sealed in `completed`."""

    install_id: str
    state: State
    attempt: int
    """Also its fencing number: every claim is an attempt."""
    attempts_before: int
    """Those made before it was last sent again."""
    resends: int
    lease_until: datetime | None
    wake_at: datetime | None
    completed: InstallCompleted
    trace: Trace
    """Of the event that asked for it."""
    created_at: datetime
    message_id: str | None
    sent_at: datetime | None
    cause: Cause | None

    @property
    def attempts_now(self) -> int:
        """How often it was claimed since it was to be sent, or sent again."""
        return self.attempt - self.attempts_before

    @property
    def is_on_its_way(self) -> bool:
        return self.state in (State.WAITING, State.SENDING)

    def rests(self, now: datetime) -> bool:
        """Whether nothing is to be done about it yet: it is being sent, or not due, or was never wanted."""
        if self.state == State.SENDING:
            return self.lease_until is not None and self.lease_until > now
        due_at = self.wake_at and self.wake_at - _LEASE
        return self.state == State.SUPPRESSED or (due_at is not None and due_at > now + _EARLY)


def enter(tx: Tx, completed: InstallCompleted, state: State, trace: Trace) -> Mail | None:
    """Note a new letter; None if this install has one."""
    row: dict[str, Any] = {
        "install_id": completed.install_id,
        "order_id": completed.order_id,
        "generation": completed.generation,
        "recipient": completed.customer.email,
        "state": state,
        "attempt": 0,
        "attempts_before": 0,
        "resends": 0,
        "wake_at": tx.now + _LEASE if state == State.WAITING else None,
        "completed": completed,
        "trace": trace,
        "created_at": tx.now,
    }
    if not insert_new(tx.connection, mails, row):
        return None
    return _mail({**dict.fromkeys(mails.c.keys()), **row})


def find(tx: Tx, install_id: str) -> Mail | None:
    row = tx.execute(select(mails).where(mails.c.install_id == install_id)).mappings().first()
    return _mail(row) if row else None


def latest(connection: Connection, name: str) -> Mail | None:
    """The letter of the install of this id, or of the latest install of the order of this id."""
    named = or_(mails.c.install_id == name, mails.c.order_id == name)
    row = connection.execute(select(mails).where(named).order_by(mails.c.generation.desc()).limit(1)).mappings().first()
    return _mail(row) if row else None


def listing(connection: Connection, states: Sequence[State], limit: int) -> list[Mail]:
    """Letters in these states, newest first."""
    query = select(mails).where(mails.c.state.in_(states)).order_by(mails.c.created_at.desc()).limit(limit)
    return [_mail(row) for row in connection.execute(query).mappings()]


def claim(tx: Tx, mail: Mail) -> Mail | None:
    """waiting -> sending, or from a sender whose lease has ended; None if another was faster, or if a newer
    install of the order has a letter."""
    lease = tx.now + _LEASE
    return _move(tx, mail, State.SENDING, only=_NEWEST, attempt=mail.attempt + 1, lease_until=lease, wake_at=lease)


def outdated(tx: Tx, mail: Mail) -> Mail | None:
    """waiting | sending -> suppressed, if a newer install of the order has a letter; else None."""
    return _move(tx, mail, State.SUPPRESSED, only=_OUTDATED, lease_until=None, wake_at=None)


def renew(tx: Tx, held: dict[str, int]) -> None:
    """Extend the leases of letters that are being sent, given with their attempts."""
    ours = or_(*[(mails.c.install_id == id) & (mails.c.attempt == attempt) for id, attempt in held.items()])
    lease = tx.now + _LEASE
    tx.execute(update(mails).where(mails.c.state == State.SENDING, ours).values(lease_until=lease, wake_at=lease))


def sent(tx: Tx, mail: Mail, message_id: str) -> Mail | None:
    """sending -> sent; None for a sender that has lost the letter meanwhile."""
    return _move(
        tx, mail, State.SENT, message_id=message_id, sent_at=tx.now, lease_until=None, wake_at=None, cause=None
    )


def failed(tx: Tx, mail: Mail, cause: Cause) -> Mail | None:
    """sending -> failed, for good."""
    return _move(tx, mail, State.FAILED, cause=cause, lease_until=None, wake_at=None)


def again(tx: Tx, mail: Mail, cause: Cause, due_at: datetime) -> Mail | None:
    """sending -> waiting for another attempt at `due_at`."""
    wake_at = due_at + _LEASE
    return _move(tx, mail, State.WAITING, cause=cause, lease_until=None, wake_at=wake_at)


def given_back(tx: Tx, mail: Mail) -> Mail | None:
    """sending -> waiting, due now; the claim was no attempt."""
    before, wake_at = mail.attempts_before + 1, tx.now + _LEASE
    return _move(tx, mail, State.WAITING, attempts_before=before, lease_until=None, wake_at=wake_at)


def counts(connection: Connection) -> dict[State, int]:
    """How many letters are in each state."""
    return by_state(connection, mails.c.state, State)


def resend(tx: Tx, mail: Mail, recipient: str | None) -> Mail | None:
    """sent | failed | suppressed -> waiting, due now; None for one that is on its way, or is outdated."""
    if mail.is_on_its_way:
        return None
    customer = mail.completed.customer.model_copy(update={"email": recipient} if recipient else {})
    return _move(
        tx,
        mail,
        State.WAITING,
        only=_NEWEST,
        completed=mail.completed.model_copy(update={"customer": customer}),
        recipient=customer.email,
        resends=mail.resends + 1,
        attempts_before=mail.attempt,
        cause=None,
        wake_at=tx.now + _LEASE,
    )


def stale(tx: Tx, limit: int = 100) -> list[Mail]:
    """Letters that no message has moved in time, each named once in a lease."""
    found = (
        select(mails.c.install_id)
        .where(mails.c.wake_at < tx.now)
        .order_by(mails.c.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    change = update(mails).where(mails.c.install_id.in_(found)).values(wake_at=tx.now + _LEASE)
    return [_mail(row) for row in tx.execute(change.returning(mails)).mappings()]


_AS_WE_SAW_IT = update(mails).where(
    mails.c.install_id == bindparam("seen_install_id"),
    mails.c.state == bindparam("seen_state"),
    mails.c.attempt == bindparam("seen_attempt"),
)
_other = mails.alias("other")
_newer = (
    select(_other.c.install_id)
    .where(_other.c.order_id == mails.c.order_id, _other.c.generation > mails.c.generation)
    .exists()
)
_NEWEST, _OUTDATED = _AS_WE_SAW_IT.where(~_newer), _AS_WE_SAW_IT.where(_newer)


def _move(tx: Tx, mail: Mail, state: State, only: Any = _AS_WE_SAW_IT, **changes: Any) -> Mail | None:
    """Change a letter that is still as we saw it; None if it is not."""
    seen = {f"seen_{name}": getattr(mail, name) for name in ("install_id", "state", "attempt")}
    changed = tx.execute(only, {**seen, **changes, "state": state}).rowcount == 1
    kept = {name: value for name, value in changes.items() if name in Mail.__dataclass_fields__}
    return replace(mail, state=state, **kept) if changed else None


def _mail(row: Any) -> Mail:
    return Mail(
        install_id=row["install_id"],
        state=State(row["state"]),
        attempt=row["attempt"],
        attempts_before=row["attempts_before"],
        resends=row["resends"],
        lease_until=row["lease_until"],
        wake_at=row["wake_at"],
        completed=row["completed"],
        trace=row["trace"],
        created_at=row["created_at"],
        message_id=row["message_id"],
        sent_at=row["sent_at"],
        cause=row["cause"],
    )
