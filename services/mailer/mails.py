"""Letters: the mailer's table. One row for each install; `install_id` is what makes it one letter.

    waiting -> sending -> sent | waiting (another attempt) | failed ;  suppressed from the start
    waiting | sending -> suppressed (a newer install of the order has a letter: what is in this one opens nothing)
    sent | failed | suppressed -> waiting (staff want it sent again)
    failed -> waiting (it could not be opened, and its key is here now)
    waiting, though it is due: its recipient has had as many letters as he may

A letter is claimed (`sending`) before it is sent, with a lease and a fencing number like an install.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    bindparam,
    func,
    or_,
    select,
    update,
)

from foundation.handling.unit_of_work import UnitOfWork
from foundation.store import PydanticJson, Utc
from foundation.store.counts import by_state
from foundation.store.insert import insert_new
from foundation.store.search import has_code
from foundation.store.types import metadata
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted
from schemas.values import Cause, Customer
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
    Column("cause", PydanticJson(Cause)),
    Column("completed", PydanticJson(InstallCompleted), nullable=False),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("sent_at", Utc),
    Index("ix_mails_wake_at", "wake_at"),
)

_LEASE = timedelta(seconds=30)
"""How long a worker may be silent before its letter is another's."""
HELD = frozenset({"letters_limit"})
"""Causes for which a letter waits as long as it takes. Such an attempt is none."""
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
    def due_at(self) -> datetime | None:
        """When it is to be sent, if it waits."""
        return self.wake_at and self.wake_at - _LEASE

    @property
    def claimed_at(self) -> datetime | None:
        """For whoever has just claimed it."""
        return self.lease_until and self.lease_until - _LEASE

    @property
    def is_on_its_way(self) -> bool:
        """Whether there is nothing that staff could do for it."""
        held = self.cause is not None and self.cause.code in HELD
        return self.state == State.SENDING or (self.state == State.WAITING and not held)

    def rests(self, now: datetime) -> bool:
        """Whether nothing is to be done about it yet: it is being sent, or not due, or was never wanted."""
        if self.state == State.SENDING:
            return self.lease_until is not None and self.lease_until > now
        return self.state == State.SUPPRESSED or (self.due_at is not None and self.due_at > now + _EARLY)


def enter(uow: UnitOfWork, completed: InstallCompleted, state: State, trace: Trace) -> Mail | None:
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
        "wake_at": uow.now + _LEASE if state == State.WAITING else None,
        "completed": completed,
        "trace": trace,
        "created_at": uow.now,
    }
    if not insert_new(uow.connection, mails, row):
        return None
    return _mail({**dict.fromkeys(mails.c.keys()), **row})


def find(uow: UnitOfWork, install_id: str) -> Mail | None:
    row = uow.execute(select(mails).where(mails.c.install_id == install_id)).mappings().first()
    return _mail(row) if row else None


def latest(connection: Connection, name: str) -> Mail | None:
    """The letter of the install of this id; without one, that of the latest install of the order of this id."""
    of_order = select(mails).where(mails.c.order_id == name).order_by(mails.c.generation.desc()).limit(1)
    for query in (select(mails).where(mails.c.install_id == name), of_order):
        if row := connection.execute(query).mappings().first():
            return _mail(row)
    return None


def listing(
    connection: Connection,
    states: Sequence[State],
    limit: int,
    *,
    order_id: str | None = None,
    recipient: str | None = None,
    since: datetime | None = None,
    causes: Sequence[str] = (),
) -> list[Mail]:
    """Letters in these states, newest first; of one order, to one address, asked for since a time, for one of these
    causes."""
    wanted = [
        mails.c.state.in_(states),
        *([mails.c.order_id == order_id] if order_id else []),
        *([func.lower(mails.c.recipient) == recipient.lower()] if recipient else []),
        *([mails.c.created_at >= since] if since else []),
        *([has_code(mails.c.cause, causes)] if causes else []),
    ]
    query = select(mails).where(*wanted).order_by(mails.c.created_at.desc(), mails.c.install_id).limit(limit)
    return [_mail(row) for row in connection.execute(query).mappings()]


def newest(connection: Connection, found: Sequence[Mail]) -> list[Mail]:
    """Those of them whose order has no newer letter: what is in the others opens nothing any more."""
    outdated = select(mails.c.install_id).where(_newer)
    gone = set(connection.execute(outdated).scalars())
    return [mail for mail in found if mail.install_id not in gone]


def claim(uow: UnitOfWork, mail: Mail) -> Mail | None:
    """waiting -> sending, or from a sender whose lease has ended; None if another was faster, or if a newer
    install of the order has a letter."""
    lease = uow.now + _LEASE
    return _move(uow, mail, State.SENDING, only=_NEWEST, attempt=mail.attempt + 1, lease_until=lease, wake_at=lease)


def outdated(uow: UnitOfWork, mail: Mail) -> Mail | None:
    """waiting | sending -> suppressed, if a newer install of the order has a letter; else None."""
    return _move(uow, mail, State.SUPPRESSED, only=_OUTDATED, lease_until=None, wake_at=None)


def renew(uow: UnitOfWork, held: dict[str, int]) -> None:
    """Extend the leases of letters that are being sent, given with their attempts."""
    ours = or_(*[(mails.c.install_id == id) & (mails.c.attempt == attempt) for id, attempt in held.items()])
    lease = uow.now + _LEASE
    uow.execute(update(mails).where(mails.c.state == State.SENDING, ours).values(lease_until=lease, wake_at=lease))


def sent(uow: UnitOfWork, mail: Mail, message_id: str) -> Mail | None:
    """sending -> sent; None for a sender that has lost the letter meanwhile."""
    return _move(
        uow, mail, State.SENT, message_id=message_id, sent_at=uow.now, lease_until=None, wake_at=None, cause=None
    )


def failed(uow: UnitOfWork, mail: Mail, cause: Cause) -> Mail | None:
    """sending -> failed, for good."""
    return _move(uow, mail, State.FAILED, cause=cause, lease_until=None, wake_at=None)


def again(uow: UnitOfWork, mail: Mail, cause: Cause, due_at: datetime) -> Mail | None:
    """sending -> waiting for another attempt at `due_at`."""
    wake_at = due_at + _LEASE
    return _move(uow, mail, State.WAITING, cause=cause, lease_until=None, wake_at=wake_at)


def held(uow: UnitOfWork, mail: Mail, cause: Cause, due_at: datetime) -> Mail | None:
    """sending -> waiting until `due_at`, for a cause of `HELD`; the claim was no attempt."""
    before, wake_at = mail.attempts_before + 1, due_at + _LEASE
    return _move(uow, mail, State.WAITING, cause=cause, attempts_before=before, lease_until=None, wake_at=wake_at)


def given_back(uow: UnitOfWork, mail: Mail) -> Mail | None:
    """sending -> waiting, due now; the claim was no attempt."""
    before, wake_at = mail.attempts_before + 1, uow.now + _LEASE
    return _move(uow, mail, State.WAITING, attempts_before=before, lease_until=None, wake_at=wake_at)


def counts(connection: Connection) -> dict[State, int]:
    """How many letters are in each state."""
    return by_state(connection, mails.c.state, State)


def resend(uow: UnitOfWork, mail: Mail, recipient: str | None) -> Mail | None:
    """sent | failed | suppressed -> waiting, due now; None for one that is on its way, or is outdated."""
    if mail.is_on_its_way:
        return None
    customer = mail.completed.customer.model_copy(update={"email": recipient} if recipient else {})
    return _move(
        uow,
        mail,
        State.WAITING,
        only=_NEWEST,
        completed=mail.completed.model_copy(update={"customer": customer}),
        recipient=customer.email,
        resends=mail.resends + 1,
        attempts_before=mail.attempt,
        cause=None,
        wake_at=uow.now + _LEASE,
    )


def unopened(uow: UnitOfWork, limit: int = 100) -> list[Mail]:
    """Letters that failed because their key was not here."""
    wanted = (mails.c.state == State.FAILED, has_code(mails.c.cause, ["wrong_key"]))
    query = select(mails).where(*wanted).order_by(mails.c.created_at).limit(limit)
    return [_mail(row) for row in uow.execute(query).mappings()]


def reopened(uow: UnitOfWork, mail: Mail) -> Mail | None:
    """failed -> waiting, due now, with all its attempts before it."""
    wake_at = uow.now + _LEASE
    return _move(uow, mail, State.WAITING, only=_NEWEST, attempts_before=mail.attempt, cause=None, wake_at=wake_at)


def amend(uow: UnitOfWork, order_id: str, customer: Customer) -> None:
    """Address an order's letters anew, for whenever they are sent. One that is being sent just now goes where it
    goes; if it has to be sent again, then to the new address."""
    rows = uow.execute(select(mails).where(mails.c.order_id == order_id).with_for_update()).mappings()
    for mail in [_mail(row) for row in rows]:
        changed = mail.completed.model_copy(update={"customer": customer})
        _move(uow, mail, mail.state, completed=changed, recipient=customer.email)


def stale(uow: UnitOfWork, limit: int = 100) -> list[Mail]:
    """Letters that no message has moved in time, each named once in a lease."""
    found = (
        select(mails.c.install_id)
        .where(mails.c.wake_at < uow.now)
        .order_by(mails.c.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    change = update(mails).where(mails.c.install_id.in_(found)).values(wake_at=uow.now + _LEASE)
    return [_mail(row) for row in uow.execute(change.returning(mails)).mappings()]


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


def _move(uow: UnitOfWork, mail: Mail, state: State, only: Any = _AS_WE_SAW_IT, **changes: Any) -> Mail | None:
    """Change a letter that is still as we saw it; None if it is not."""
    seen = {f"seen_{name}": getattr(mail, name) for name in ("install_id", "state", "attempt")}
    changed = uow.execute(only, {**seen, **changes, "state": state}).rowcount == 1
    kept = {name: value for name, value in changes.items() if name in Mail.__dataclass_fields__}
    return replace(mail, state=state, **kept) if changed else None


def _mail(row: Any) -> Mail:
    return Mail(**{name: row[name] for name in Mail.__dataclass_fields__} | {"state": State(row["state"])})
