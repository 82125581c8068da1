"""A service's transaction: its rows and what it has to say commit together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import uuid_utils
from sqlalchemy import Connection, CursorResult, Executable

from foundation.broker import Delivery, codec
from foundation.broker.sender import OURSELVES, Sender, is_note, sender_of
from foundation.broker.setbacks import is_setback, setbacks
from foundation.broker.topology import PARKING
from foundation.clock import Now
from foundation.store import Store, outbox
from foundation.store.outbox import Pending
from foundation.telemetry import tracing
from foundation.telemetry.tracing import Origin
from schemas import catalogue
from schemas.envelope import Event
from schemas.values import Cause, Model

DELAYED = "delay"
"""The exchange of an outbox row that goes through the delay ladder."""

BORN_CLAIMED = timedelta(seconds=15)
"""How long a new outbox row is its writer's own: publishing takes milliseconds."""

_SUSPECT = "sitecrew-suspect"
"""Header of what goes round once more because its worker was lost, perhaps by its fault."""
_SHORT = 255
"""Bytes of a short string (AMQP 0-9-1, 4.2.5.3)."""
_INHERITED = 48_000
"""Bytes of a parked message's own headers; with ours they are less than the broker module sends."""


def new_id() -> str:
    """A UUIDv7: unique, and in the order of time."""
    return str(uuid_utils.uuid7())


@dataclass
class Tx:
    """One transaction. `emit` and the others only note what to say; it is written with the rows."""

    connection: Connection
    source: str
    """The CloudEvents source of what is emitted: `/sitecrew/<service>`."""
    now: datetime
    sender: Sender = OURSELVES
    """Who sent what is being handled: a producer, staff, another service, or this one to itself."""
    said: list[Pending] = field(default_factory=list)

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def emit(self, data: Model, subject: str | None, cause: Origin | None = None) -> Event[Any]:
        """Publish an event or command to the exchange of its type. `subject` is the order's id;
        `cause` is the event that led to it, or the trace of that: it goes on."""
        event = self._event(data, subject, cause)
        entry = catalogue.by_model(type(data))
        self.said.append(_pending(event, entry.exchange, entry.routing_key))
        return event

    def deliver(self, event: Event[Any], queue: str, at: datetime, *, suspect: bool = False) -> None:
        """Put the event into one queue at a time, through the delayed exchange. A suspect, whose worker
        was lost, will be handled alone."""
        headers: dict[str, str | int] = {_SUSPECT: 1} if suspect else {}
        self.said.append(_pending(event, DELAYED, queue, due_at=at, headers=headers))

    def wake(
        self, data: Model, queue: str, subject: str | None, cause: Origin | None = None, *, suspect: bool = False
    ) -> None:
        """Put an event into one queue now, for that queue's service only."""
        self.deliver(self._event(data, subject, cause), queue, self.now, suspect=suspect)

    def again(self, delivery: Delivery, event: Event[Any], at: datetime, *, acted: bool) -> None:
        """Deliver what was delivered once more, later, as sent by whoever first sent it. Its headers are not
        inherited: brokers before 4.0.1 would take the old `x-death` for a cycle and drop it. A suspect remains one
        until it has been acted on and its worker lives."""
        headers = {**sender_of(delivery).headers, **setbacks(delivery)}
        if is_suspect(delivery) and not acted:
            headers[_SUSPECT] = 1
        self.said.append(_pending(event, DELAYED, delivery.queue, due_at=at, headers=headers))

    def park(self, delivery: Delivery, cause: Cause, field: str = "", source: str = "") -> None:
        """Set aside what can't be handled, with the reason, for people to look at."""
        reason = {
            "parked-at": self.now.isoformat(timespec="seconds"),
            "parked-by": self.source,
            "parked-from": delivery.queue,
            "reason-code": cause.code,
            "reason": cause.detail,
            "remedy": cause.remedy,
            "field": field[:200],
            "sent-by": source[:200],
            "original-message-id": delivery.message_id[:200],
        }
        self.said.append(
            Pending(
                exchange=PARKING,
                routing_key=delivery.queue,
                message_id=new_id(),
                type=_short(delivery.type),
                correlation_id="",
                content_type=_short(delivery.content_type),
                body=delivery.body,
                headers={
                    **_inherited(delivery),
                    **sender_of(delivery).headers,
                    **setbacks(delivery),
                    **{name: value for name, value in reason.items() if value},
                },
            )
        )

    def _event(self, data: Model, subject: str | None, cause: Origin | None) -> Event[Any]:
        trace = tracing.carried(cause)
        return codec.envelope(data, id=new_id(), source=self.source, subject=subject, time=self.now, **trace)


def is_suspect(delivery: Delivery) -> bool:
    """Whether it was handed out before and its worker was lost."""
    return delivery.redeliveries > 0 or _SUSPECT in delivery.headers


def _pending(event: Event[Any], exchange: str, routing_key: str, **more: Any) -> Pending:
    return Pending(
        exchange=exchange,
        routing_key=routing_key,
        message_id=_short(event.id),
        type=event.type,
        correlation_id=_short(event.subject or ""),
        content_type=codec.CONTENT_TYPE,
        body=codec.encode(event),
        **more,
    )


def _short(text: str) -> str:
    """As much of a sender's text as the properties of a message can hold, and PostgreSQL's columns,
    which take no NUL. What could not be published would wait in the outbox for ever."""
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable.encode()[:_SHORT].decode(errors="ignore")


def _inherited(delivery: Delivery) -> dict[str, str | int]:
    """As many of its own headers as can be sent on, those that make up the event first."""
    kept: dict[str, str | int] = {}
    room = _INHERITED
    for name in sorted(delivery.headers, key=lambda name: (not name.startswith(codec.BINARY_PREFIXES), name)):
        value = delivery.headers[name]
        ours = name.startswith("x-") or is_note(name) or is_setback(name)
        if isinstance(value, str | int) and not ours and len(name.encode()) <= _SHORT:
            room -= len(name.encode()) + (len(value.encode()) if isinstance(value, str) else 8)
            if room >= 0:
                kept[name] = value
    return kept


@dataclass(frozen=True)
class Ledger:
    """Where a service's transactions begin: its store, its name and the time."""

    store: Store
    service: str
    now: Now
    committed: Callable[[list[Pending]], None]
    """Told what is to be published, as soon as it is certain."""

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Commits at the end, then hands over what was said. Raises StoreUnreachable."""
        with self.store.transaction() as connection:
            tx = Tx(connection, f"/sitecrew/{self.service}", self.now())
            yield tx
            rows = outbox.add(connection, tx.said, tx.now + BORN_CLAIMED)
        self.committed(rows)
