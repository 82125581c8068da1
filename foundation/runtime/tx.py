"""A service's transaction: its rows and what it has to say commit together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import uuid_utils
from sqlalchemy import Connection, CursorResult, Executable

from foundation.broker import Delivery, codec
from foundation.broker.topology import PARKING
from foundation.runtime.clock import Now
from foundation.store import Store, outbox
from foundation.store.outbox import Pending
from schemas import catalogue
from schemas.envelope import Event
from schemas.values import Cause, Model

DELAYED = "delay"
"""The exchange of an outbox row that goes through the delay ladder."""

_BORN_CLAIMED = timedelta(seconds=15)
"""How long a new outbox row is its writer's own: publishing takes milliseconds."""


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
    said: list[Pending] = field(default_factory=list)

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def emit(self, data: Model, subject: str | None, cause: Event[Any] | None = None) -> Event[Any]:
        """Publish an event or command to the exchange of its type. `subject` is the order's id;
        `cause` is the event that led to it, whose trace goes on."""
        event = self._event(data, subject, cause)
        entry = catalogue.by_model(type(data))
        self.said.append(_pending(event, entry.exchange, entry.routing_key))
        return event

    def deliver(self, event: Event[Any], queue: str, at: datetime) -> None:
        """Put the event into one queue at a time, through the delayed exchange."""
        self.said.append(_pending(event, DELAYED, queue, due_at=at))

    def wake(self, data: Model, queue: str, subject: str | None) -> None:
        """Put an event into one queue now, for that queue's service only."""
        self.deliver(self._event(data, subject, None), queue, self.now)

    def again(self, delivery: Delivery, event: Event[Any], at: datetime) -> None:
        """Deliver what was delivered once more, later. Its headers are not inherited: brokers before
        4.0.1 would take the old `x-death` for a cycle and drop it."""
        self.deliver(event, delivery.queue, at)

    def park(self, delivery: Delivery, cause: Cause, field: str = "", source: str = "") -> None:
        """Set aside what can't be handled, with the reason, for people to look at."""
        inherited = {k: v for k, v in delivery.headers.items() if isinstance(v, str | int) and k[:2] != "x-"}
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
                type=delivery.type[:200],
                correlation_id="",
                content_type=delivery.content_type[:200],
                body=delivery.body,
                headers={**inherited, **{name: value for name, value in reason.items() if value}},
            )
        )

    def _event(self, data: Model, subject: str | None, cause: Event[Any] | None) -> Event[Any]:
        trace = {"traceparent": cause.traceparent, "tracestate": cause.tracestate} if cause else {}
        return codec.envelope(data, id=new_id(), source=self.source, subject=subject, time=self.now, **trace)


def _pending(event: Event[Any], exchange: str, routing_key: str, due_at: datetime | None = None) -> Pending:
    return Pending(
        exchange=exchange,
        routing_key=routing_key,
        message_id=event.id,
        type=event.type,
        correlation_id=event.subject or "",
        content_type=codec.CONTENT_TYPE,
        body=codec.encode(event),
        due_at=due_at,
    )


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
            rows = outbox.add(connection, tx.said, tx.now + _BORN_CLAIMED)
        self.committed(rows)
