"""A service's unit of work: the rows of some orders and the messages to publish, committed together."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol

import structlog
import uuid_utils
from sqlalchemy import Connection
from typing_extensions import TypeVar

from foundation.broker import Delivery, codec
from foundation.broker.sender import OURSELVES, Sender, is_note, sender_of
from foundation.broker.setbacks import is_setback, setbacks
from foundation.broker.topology import PARKING, REPLAYS
from foundation.clock import Now
from foundation.errors import StoreUnreachable
from foundation.store import Store, outbox
from foundation.store.outbox import OutboxMessage
from foundation.telemetry import tracing
from foundation.telemetry.tracing import Origin, Trace
from schemas import catalogue
from schemas.envelope import Event
from schemas.values import Cause, Model

_log = structlog.get_logger(__name__)

DELAYED = "delay"
"""Stands for the delay ladder in an outbox row's exchange."""

BORN_CLAIMED = timedelta(seconds=15)
"""How long a new outbox row stays claimed by the process that wrote it; publishing takes milliseconds."""

_SUSPECT = "sitecrew-suspect"
"""Header of a message that is delivered again because its worker was lost, perhaps because of it."""
_SHORT = 255
"""Maximum length of a short string, in bytes (AMQP 0-9-1, 4.2.5.3)."""
_INHERITED = 48_000
"""Maximum size of the original headers on a parked message, in bytes; with ours, it stays below the broker limit."""


class Rows(Protocol):
    """A service's rows of some orders, in memory for one transaction."""

    def flush(self, connection: Connection) -> None:
        """Write all changes."""

    def sequence(self, data: Model) -> str | None:
        """Return the version of the row that an event with this data tells of; None if it tells of none of ours."""


RowsT = TypeVar("RowsT", bound=Rows, default=Any)


def new_id() -> str:
    """Return a new UUIDv7: unique, and sorted by time."""
    return str(uuid_utils.uuid7())


@dataclass
class UnitOfWork(Generic[RowsT]):
    """What handlers work with: they read and change `rows`, and add messages to the outbox. All of it is committed in
    one transaction."""

    rows: RowsT
    source: str
    """The CloudEvents source of emitted events: `/sitecrew/<service>`."""
    now: datetime
    connection: Connection
    """For the worker's own tables. Handlers don't need it: the rows they decide on are loaded."""
    sender: Sender = OURSELVES
    """Who sent the message that is being handled: a producer, staff, another service, or this one."""
    outbox: list[OutboxMessage] = field(default_factory=list)
    afterwards: dict[Hashable, Callable[["UnitOfWork[RowsT]"], None]] = field(default_factory=dict)
    """What to do once with the connection when everything is decided and written; by a key, however often it was asked
    for."""
    _written: tuple[Event[Any] | None, bytes] = (None, b"")
    """The last event and its body: most that are delivered later have just been emitted."""

    def emit(self, data: Model, subject: str | None, cause: Origin | None = None) -> Event[Any]:
        """Publish an event or command to the exchange of its type, after the row that it tells of was saved. `subject`
        is the order's id; `cause` is the event that led to it, or that event's trace, which is continued."""
        event = self._event(data, subject, cause)
        self.publish(event)
        return event

    def publish(self, event: Event[Any]) -> None:
        """Publish an event or command as it is to the exchange of its type."""
        entry = catalogue.by_model(type(event.data))
        self._send(event, entry.exchange, entry.routing_key)

    def replay(self, data: Model, subject: str, trace: Trace, sequence: str, at: datetime | None) -> None:
        """Publish to `replays` that a row of this version reached a state, at `at` if that is known."""
        told = {**tracing.carried(trace), "sequence": sequence, "replay": True}
        event = codec.envelope(data, id=new_id(), source=self.source, subject=subject, time=at, **told)
        self._send(event, REPLAYS, catalogue.by_model(type(data)).routing_key)

    def deliver(self, event: Event[Any], queue: str, at: datetime, *, suspect: bool = False) -> None:
        """Deliver the event to one queue at `at`, through the delay ladder. A `suspect` (its worker was lost) will be
        handled alone."""
        headers: dict[str, str | int] = {_SUSPECT: 1} if suspect else {}
        self._send(event, DELAYED, queue, due_at=at, headers=headers)

    def redeliver(
        self,
        data: Model,
        queue: str,
        subject: str | None,
        cause: Origin | None = None,
        *,
        at: datetime | None = None,
        suspect: bool = False,
    ) -> None:
        """Deliver a new event, made from a row, to one of this service's own queues, now or `at` a time."""
        self.deliver(self._event(data, subject, cause), queue, at or self.now, suspect=suspect)

    def retry(self, delivery: Delivery, event: Event[Any], at: datetime, *, acted: bool) -> None:
        """Deliver an event again at `at`, on behalf of its original sender.

        Its headers are not copied: brokers before 4.0.1 would take the old `x-death` for a cycle, and drop the message.
        A suspect remains one until its effect has run (`acted`) and the worker has survived it.
        """
        headers = {**sender_of(delivery).headers, **setbacks(delivery)}
        if is_suspect(delivery) and not acted:
            headers[_SUSPECT] = 1
        self._send(event, DELAYED, delivery.queue, due_at=at, headers=headers)

    def park(self, delivery: Delivery, cause: Cause, field: str = "", source: str = "") -> None:
        """Set aside a message that can't be handled, with the reason, for staff to look at."""
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
        self.outbox.append(
            OutboxMessage(
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

    def _send(self, event: Event[Any], exchange: str, routing_key: str, **more: Any) -> None:
        if self._written[0] is not event:
            self._written = (event, codec.encode(event))
        message = OutboxMessage(
            exchange=exchange,
            routing_key=routing_key,
            message_id=_short(event.id),
            type=event.type,
            correlation_id=_short(event.subject or ""),
            content_type=codec.CONTENT_TYPE,
            body=self._written[1],
            **more,
        )
        self.outbox.append(message)

    def _event(self, data: Model, subject: str | None, cause: Origin | None) -> Event[Any]:
        told = {**tracing.carried(cause), "sequence": self.rows.sequence(data)}
        return codec.envelope(data, id=new_id(), source=self.source, subject=subject, time=self.now, **told)


Load = Callable[[Connection, Sequence[str], Sequence[Event[Any]]], RowsT]
"""Loads and locks a service's rows of some orders, and looks up what else it needs to decide about some events."""
Find = Callable[[Connection, datetime], Iterable[str]]
"""Finds the ids of orders that need attention, without locking them."""


@dataclass(frozen=True)
class Database(Generic[RowsT]):
    """Begins a service's units of work."""

    store: Store
    service: str
    now: Now
    committed: Callable[[list[OutboxMessage], datetime], None]
    """Called once the transaction has committed, with the messages to publish and until when they are claimed."""
    load: Load[Any]

    @contextmanager
    def begin(self, events: Iterable[Event[Any]] = (), find: Find | None = None) -> Iterator[UnitOfWork[RowsT]]:
        """Begin a unit of work on the rows of the events' orders, and of the orders that `find` returns.

        Commits at the end of the block, then calls `committed` with the outbox. Raises StoreUnreachable.
        """
        events = list(events)
        with self.store.transaction() as connection:
            orders = {order for event in events if (order := _order_of(event.data))}
            orders |= set(find(connection, self.now()) if find else ())
            rows = self.load(connection, sorted(orders), events)
            now = self.now()  # others may have held the rows for a while
            uow = UnitOfWork(rows, f"/sitecrew/{self.service}", now, connection)
            yield uow
            rows.flush(connection)
            for follow_up in uow.afterwards.values():
                follow_up(uow)
            ours_until = now + BORN_CLAIMED
            outbox.add(connection, uow.outbox, ours_until)
        self.committed(uow.outbox, ours_until)

    def sweep(self, find: Find, look: Callable[[UnitOfWork[RowsT]], None]) -> None:
        """Call `look` in one unit of work on all orders from `find`. If that fails, try each order alone, so that
        a faulty one doesn't hold up the others. Raises StoreUnreachable."""
        try:
            with self.begin(find=find) as uow:
                look(uow)
        except StoreUnreachable:
            raise
        except Exception:  # noqa: BLE001  # one of the orders is at fault; trying each alone shows which
            with self.store.reading() as connection:
                found = sorted(set(find(connection, self.now())))
            for order in found:
                self._look_alone(order, look)

    def _look_alone(self, order: str, look: Callable[[UnitOfWork[RowsT]], None]) -> None:
        try:
            with self.begin(find=lambda _connection, _now: [order]) as uow:
                look(uow)
        except StoreUnreachable:
            raise
        except Exception:  # noqa: BLE001  # a fault of ours, or a row that nobody can read
            _log.exception("sweep.failed", order_id=order)


def _order_of(data: Model) -> str:
    """Return the id of the order that an event or a command is about; empty if there is none."""
    named = vars(data)  # `getattr` for a field that a model has not costs as much as all else here
    order: str | None = named.get("order_id")
    return order or (named.get("install_id") or "").rpartition("-g")[0]


def is_suspect(delivery: Delivery) -> bool:
    """Whether a message was delivered before and its worker was lost."""
    return delivery.redeliveries > 0 or _SUSPECT in delivery.headers


def _short(text: str) -> str:
    """Return as much of a sender's text as fits into a message property, and into a PostgreSQL column, which takes no
    NUL. A message that could not be published would stay in the outbox for ever."""
    if len(text) <= _SHORT and text.isascii() and text.isprintable():
        return text
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable.encode()[:_SHORT].decode(errors="ignore")


def _inherited(delivery: Delivery) -> dict[str, str | int]:
    """Return as many of a delivery's own headers as may be sent on; those that are part of the event come first."""
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
