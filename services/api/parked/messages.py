"""Parked messages as the console shows them: copied when they are parked, and closed when somebody has acted.

What counts in the end is the queue itself: `compared` brings these rows into agreement with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    select,
    update,
)

from foundation.broker import Delivery, payloads
from foundation.broker.topology import DEAD_LETTERS, PARKING, UNROUTED
from foundation.handling import parking
from foundation.handling.parking import Parked
from foundation.store import Utc, bulk
from foundation.store.types import Word, metadata
from schemas.envelope import Event
from schemas.services import MessagePurged, MessageRequeued


class State(StrEnum):
    """What has become of a parked message."""

    OPEN = "open"
    REQUEUED = "requeued"
    PURGED = "purged"


_ENDS: Mapping[type[Any], State] = {MessageRequeued: State.REQUEUED, MessagePurged: State.PURGED}

parked_messages = Table(
    "parked_messages",
    metadata,
    Column("queue", String(16), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("state", Word(State), nullable=False),
    Column("changed_at", Utc, nullable=False),
    Column("parked_at", Utc, nullable=False),
    Column("times", Integer, nullable=False),
    Column("parked_from", String(200), nullable=False),
    Column("code", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("field", String(200), nullable=False),
    Column("sender", String(255), nullable=False),
    Column("type", String(200), nullable=False),
    Column("order_id", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("can_go_back", Boolean, nullable=False),
    Index("ix_parked_messages_state_parked_at", "state", "parked_at"),
    Index("ix_parked_messages_order_id", "order_id"),
)
_LENGTHS = {column.name: column.type.length for column in parked_messages.columns if isinstance(column.type, String)}


class ParkedGroup(NamedTuple):
    """Parked messages that nobody has acted on, and that were parked for the same reason."""

    code: str
    place: str
    """The queue that they came from, or are in if that is not known."""
    number: int
    since: datetime
    """When the first of them was parked."""


@dataclass(frozen=True)
class ParkedMessage:
    """One parked message."""

    queue: str
    """`parking`, or `unrouted` for what no queue took."""
    id: str
    state: State
    changed_at: datetime
    """When it came to this state."""
    parked_at: datetime
    times: int
    """How often it was parked."""
    parked_from: str
    """The queue that it came from; empty if unknown."""
    code: str
    reason: str
    remedy: str
    field: str
    sender: str
    type: str
    order_id: str
    """The order it is about; empty if that could not be read."""
    body: str
    """The beginning of its body, with secrets masked."""
    can_go_back: bool

    @classmethod
    def find(cls, connection: Connection, queue: str, id: str) -> Self | None:
        """Return one message; None if it was never parked."""
        named = (parked_messages.c.queue == queue, parked_messages.c.id == id)
        row = connection.execute(select(parked_messages).where(*named)).mappings().first()
        return cls(**row) if row else None

    @classmethod
    def groups(cls, connection: Connection) -> list[ParkedGroup]:
        """Return what waits for somebody, by code and by where it came from; the oldest group first."""
        table = parked_messages.c
        place = func.coalesce(func.nullif(table.parked_from, ""), table.queue)
        since = func.min(table.parked_at)
        counted = select(table.code, place, func.count(), since).where(table.state == State.OPEN)
        grouped = counted.group_by(table.code, place).order_by(since)
        return [ParkedGroup(*row) for row in connection.execute(grouped)]

    @classmethod
    def waiting(cls, connection: Connection, limit: int, queue: str = "") -> list[Self]:
        """Return those that nobody has acted on, of one queue if given, the oldest first."""
        is_open = select(parked_messages).where(parked_messages.c.state == State.OPEN)
        if queue:
            is_open = is_open.where(parked_messages.c.queue == queue)
        rows = connection.execute(is_open.order_by(parked_messages.c.parked_at).limit(limit)).mappings()
        return [cls(**row) for row in rows]


@dataclass(frozen=True)
class Copy:
    """The copy of a message that was parked just now."""

    queue: str
    parked: Parked

    @classmethod
    def of(cls, delivery: Delivery, user: str) -> Self:
        """Return what a copy tells. `user` is our own broker user."""
        queue = PARKING if delivery.exchange in (PARKING, DEAD_LETTERS) else UNROUTED
        return cls(queue, parking.read(delivery._replace(queue=queue), user))

    @property
    def id(self) -> str:
        return self.parked.told_name

    @property
    def type(self) -> str:
        return self.parked.type

    @property
    def time(self) -> datetime | None:
        return self.parked.at


def note(connection: Connection, copies: Sequence[Copy], now: datetime) -> None:
    """Write down what was parked."""
    for copy in copies:
        bulk.put(connection, parked_messages, _row(copy, now), dated="changed_at")


def closed(connection: Connection, events: Sequence[Event[Any]], _now: datetime) -> None:
    """Write down what was requeued or purged, by whomever."""
    table = parked_messages.c
    for event in events:
        if (state := _ENDS.get(type(event.data))) and event.time:
            which = (table.id == event.data.message_id, table.parked_at <= event.time)
            done = {"state": state, "changed_at": event.time}
            connection.execute(update(parked_messages).where(*which, table.state == State.OPEN).values(**done))


def compared(connection: Connection, queue: str, found: Sequence[Parked], since: datetime) -> None:
    """Bring the rows into agreement with what is in a queue, at which somebody looked at `since`."""
    table = parked_messages.c
    note(connection, [Copy(queue, parked) for parked in found], since)
    there = {parked.told_name for parked in found}
    is_open = select(table.id).where(table.queue == queue, table.state == State.OPEN, table.parked_at < since)
    for id in connection.execute(is_open).scalars().all():
        if id not in there:
            gone = {"state": State.PURGED, "changed_at": since}
            connection.execute(update(parked_messages).where(table.queue == queue, table.id == id).values(**gone))


def _row(copy: Copy, now: datetime) -> dict[str, Any]:
    parked = copy.parked
    at = min(parked.at or now, now)
    said = {name: getattr(parked, name) for name in ("code", "reason", "remedy", "field", "type", "order_id")}
    said |= {"queue": copy.queue, "id": copy.id, "parked_from": parked.came_from, "sender": parked.sent_by}
    said |= {"body": payloads.shown(parked.delivery.body).text}
    row = {name: text.replace("\0", "")[: _LENGTHS[name]] for name, text in said.items()}
    moments = {"state": State.OPEN, "changed_at": at, "parked_at": at}
    return {**row, **moments, "times": parked.times, "can_go_back": parked.can_go_back}
