"""Ask the services for something, and follow what becomes of it.

What is asked goes into the outbox together with a row that waits for the answer, so that neither is lost. The answer is
the event that the asked service emits in the same trace, or its refusal. What is parked instead is refused too, until
staff have it tried again and it is answered after all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import ValidationError
from sqlalchemy import Column, Connection, Index, String, Table, Text, delete, select, update

from foundation.broker import codec
from foundation.broker.codec import Malformed
from foundation.causes import Causes, Meaning
from foundation.handling.parking import Parked
from foundation.handling.unit_of_work import UnitOfWork, new_id
from foundation.store import PydanticJson, Utc
from foundation.store.in_list import in_list
from foundation.store.types import Word, metadata
from foundation.telemetry.tracing import new_traceparent
from schemas import answers, catalogue
from schemas.accounts import AccountCreated, AccountFailed
from schemas.envelope import Event
from schemas.installs import (
    CommandRefused,
    InstallStaged,
)
from schemas.mails import MailResend, MailWaiting
from schemas.orders import (
    OrderCancelled,
    OrderKnown,
    OrderPlaced,
    OrderReinstallRequested,
    OrderRejected,
    OrderWithdrawn,
)
from schemas.values import Cause, CauseKind, Model
from services.api.access.identity import Identity
from services.api.parked.messages import Copy

KEPT = timedelta(days=14)
"""How long an answer can be asked for."""


class Outcome(StrEnum):
    """What has become of what was asked."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"


PARKED_CAUSES = Causes(
    {"parked": Meaning(CauseKind.PERMANENT, "Ask staff: they see it in the console, under Parked, and can requeue it.")}
)
"""Why something is not answered; usually the code is that with which it was parked."""

ANSWERS: Mapping[type[Model], Sequence[type[Model]]] = {
    OrderPlaced: (AccountCreated, AccountFailed, OrderKnown, OrderRejected),
    OrderReinstallRequested: (InstallStaged, OrderRejected),
    OrderCancelled: (OrderWithdrawn, OrderRejected),
    **answers.ANSWERS,
    MailResend: (MailWaiting, *answers.ANSWERS[MailResend]),
}
"""What can be asked, and by what it is answered; any command can also be refused. What has no answer is done once it
is asked."""

_REFUSALS = (AccountFailed, CommandRefused, OrderRejected)
_ANSWERING = frozenset(kind for kinds in ANSWERS.values() for kind in kinds) | {CommandRefused}

asked = Table(
    "asked",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("source", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("order_id", String(64), index=True),
    Column("install_id", String(80)),
    Column("actor", String(255), nullable=False),
    Column("asked_at", Utc, nullable=False, index=True),
    Column("trace_id", String(32), nullable=False, index=True),
    Column("outcome", Word(Outcome), nullable=False),
    Column("answer", String(64)),
    Column("detail", Text),
    Column("cause", PydanticJson(Cause)),
    Column("answered_at", Utc),
    Index("ix_asked_outcome_asked_at", "outcome", "asked_at"),
)


@dataclass(frozen=True)
class Asked:
    """One thing that was asked, and its answer as far as it has come."""

    id: str
    source: str
    digest: str
    type: str
    order_id: str | None
    install_id: str | None
    actor: str
    asked_at: datetime
    trace_id: str
    outcome: Outcome
    answer: str | None
    """The type of the answering event; None if it was parked instead."""
    detail: str | None
    """What a refusal found wrong, for people."""
    cause: Cause | None
    answered_at: datetime | None

    @classmethod
    def find(cls, connection: Connection, source: str, id: str) -> Self | None:
        """Return what was asked under an id; None if nothing was, or too long ago."""
        found = connection.execute(select(asked).where(asked.c.id == id, asked.c.source == source))
        row = found.mappings().first()
        return cls(**row) if row else None

    @classmethod
    def named(cls, connection: Connection, id: str) -> list[Self]:
        """Return what was asked under an id, by whatever source."""
        found = connection.execute(select(asked).where(asked.c.id == id).order_by(asked.c.source))
        return [cls(**row) for row in found.mappings()]

    @classmethod
    def placed(cls, connection: Connection, order_id: str) -> list[Self]:
        """Return how an order was placed, each time that it was, the last first."""
        wanted = (asked.c.order_id == order_id, asked.c.type == catalogue.by_model(OrderPlaced).name)
        found = connection.execute(select(asked).where(*wanted).order_by(asked.c.asked_at.desc(), asked.c.id))
        return [cls(**row) for row in found.mappings()]

    def is_of(self, data: Model) -> bool:
        """Whether it is this that was asked."""
        subject = getattr(data, "order_id", None)
        event = codec.envelope(data, id=self.id, source=self.source, subject=subject, time=self.asked_at)
        return self.digest == codec.digest(event)


def ask(
    uow: UnitOfWork[Any], data: Model, who: Identity, *, id: str = "", source: str = "", subject: str | None = None
) -> Event[Any]:
    """Publish a command, or an order as `source`, on behalf of somebody; return the event. Its outcome can be found by
    its `source` and `id`. Raises IntegrityError if something was asked under the same id before."""
    event = codec.envelope(
        data,
        id=id or new_id(),
        source=source or uow.source,
        subject=subject or getattr(data, "order_id", None),
        time=uow.now,
        traceparent=new_traceparent(),
        authtype=who.authtype,
        authid=who.name,
    )
    row = {
        "id": event.id,
        "source": event.source,
        "digest": codec.digest(event),
        "type": event.type,
        "order_id": getattr(data, "order_id", None),
        "install_id": getattr(data, "install_id", None),
        "actor": who.name,
        "asked_at": uow.now,
        "trace_id": event.trace_id,
        "outcome": Outcome.OPEN if ANSWERS[type(data)] else Outcome.DONE,
    }
    uow.connection.execute(asked.insert().values(**row))
    uow.publish(event)
    return event


def answered(connection: Connection, events: Sequence[Event[Any]], now: datetime) -> None:
    """Write down the answers among these events."""
    heard = {event.trace_id: event for event in events if type(event.data) in _ANSWERING and not event.replay}
    heard.pop(None, None)
    if not heard:
        return
    unanswered = select(asked.c.id, asked.c.source, asked.c.type, asked.c.trace_id).where(
        asked.c.answer.is_(None), asked.c.outcome != Outcome.DONE, in_list(asked.c.trace_id, connection.dialect.name)
    )
    for row in connection.execute(unanswered, {"wanted": sorted(filter(None, heard))}).all():
        for event in (event for event in events if event.trace_id == row.trace_id):
            if values := _answer(row.type, event):
                which = (asked.c.id == row.id, asked.c.source == row.source)
                connection.execute(update(asked).where(*which).values(**values, answered_at=event.time or now))


def _answer(type_name: str, event: Event[Any]) -> dict[str, Any]:
    """Return what an event says in answer to something of this type; empty if it does not answer it."""
    kind = type(event.data)
    if kind is not CommandRefused and kind not in _answers(type_name):
        return {}
    refused = kind in _REFUSALS
    cause: Cause | None = getattr(event.data, "cause", None) if refused else None
    errors = getattr(event.data, "errors", ())
    detail = "; ".join(f"{error.field}: {error.message}" for error in errors) or (cause.detail if cause else None)
    outcome = Outcome.REFUSED if refused else Outcome.DONE
    return {"outcome": outcome, "answer": event.type, "detail": detail, "cause": cause}


def _answers(type_name: str) -> Sequence[type[Model]]:
    entry = catalogue.by_type(type_name)
    return ANSWERS.get(entry.model, ()) if entry else ()


def set_aside(connection: Connection, copies: Sequence[Copy], now: datetime) -> None:
    """Write down what was parked of what was asked here, and not answered."""
    for copy in copies:
        try:
            event = codec.read(copy.parked.delivery)
        except Malformed:
            continue  # none of ours
        # Its content is compared too: an event that only bears the id of ours says nothing about ours.
        this = (asked.c.id == event.id, asked.c.source == event.source, asked.c.digest == codec.digest(event))
        cause = _cause(copy.parked)
        refused = {"outcome": Outcome.REFUSED, "cause": cause, "detail": cause.detail, "answered_at": now}
        connection.execute(update(asked).where(*this, asked.c.outcome == Outcome.OPEN).values(**refused))


def _cause(parked: Parked) -> Cause:
    """Return why a message was parked. Its headers may say anything."""
    cause = PARKED_CAUSES.cause("parked", parked.reason, parked.remedy[:500])
    try:
        return Cause.model_validate({**cause.model_dump(), "code": parked.code})
    except ValidationError:
        return cause


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove what was asked too long ago."""
    connection.execute(delete(asked).where(asked.c.asked_at < now - KEPT))
