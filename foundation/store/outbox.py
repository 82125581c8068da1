"""The outbox: messages written in a transaction, to be published after it has committed.

A row lives until the broker has confirmed its message. Until `claimed_until` it belongs to one relay: first to the
process that wrote it, which publishes it at once. A row that is still there afterwards can be claimed by any relay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import uuid_utils
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Delete,
    LargeBinary,
    Row,
    String,
    Table,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)

from foundation.store import bulk
from foundation.store.in_list import in_list
from foundation.store.types import Bytewise, Utc, metadata

_LONGEST_CLAIM = timedelta(minutes=5)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Bytewise(32), primary_key=True),
    Column("exchange", String(64), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("due_at", Utc),
    Column("message_id", String(255), nullable=False),
    Column("type", String(255), nullable=False),
    Column("correlation_id", String(255), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("claimed_until", Utc, nullable=False, index=True),
)


@dataclass(slots=True)  # not frozen, which would double what making one costs
class OutboxMessage:
    """A message to be published to `exchange` at once or, with `due_at`, to reach the queue named by `routing_key` at
    that time. Nobody changes it."""

    exchange: str
    routing_key: str
    message_id: str
    type: str
    correlation_id: str
    content_type: str
    body: bytes
    due_at: datetime | None = None
    headers: dict[str, str | int] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid_utils.uuid7().hex)
    """The row's key: a UUIDv7, so it sorts by creation time and is never reused."""


_COLUMNS = tuple(map(str, outbox.c.keys()))
_OF_MESSAGE = tuple(name for name in _COLUMNS if name != "claimed_until")
_values = attrgetter(*_OF_MESSAGE)


def add(connection: Connection, messages: Sequence[OutboxMessage], claimed_until: datetime) -> None:
    """Insert the messages, claimed by the caller until `claimed_until`."""
    if messages:
        rows = ((*_values(message), claimed_until) for message in messages)
        bulk.add(connection, outbox, _COLUMNS, rows)


def claim(connection: Connection, now: datetime, until: datetime, limit: int) -> list[OutboxMessage]:
    """Claim up to `limit` unclaimed rows, oldest first. Two relays never claim the same row."""
    # No claim on a row that is due lasts that long, so the clock has been set back since.
    from_the_future = and_(
        outbox.c.claimed_until > now + _LONGEST_CLAIM,
        or_(outbox.c.due_at.is_(None), outbox.c.due_at < outbox.c.claimed_until),
    )
    free = (
        select(outbox.c.id)
        .where(or_(outbox.c.claimed_until < now, from_the_future))
        .order_by(outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("free")  # evaluated once; PostgreSQL may run a plain subquery once per row, and exceed the limit
    )
    taken = update(outbox).where(outbox.c.id.in_(select(free.c.id))).values(claimed_until=until).returning(outbox)
    return sorted((_message(row) for row in connection.execute(taken)), key=lambda message: message.id)


def hold(connection: Connection, ids: Sequence[str], until: datetime) -> None:
    """Let no relay claim the rows before `until`."""
    if ids:
        held = update(outbox).where(in_list(outbox.c.id, connection.dialect.name)).values(claimed_until=until)
        connection.execute(held, {"wanted": list(ids)})


def remove(connection: Connection, ids: Sequence[str]) -> None:
    """Delete rows whose messages the broker has confirmed."""
    if ids:
        connection.execute(_removal(connection.dialect.name), {"wanted": list(ids)})


@lru_cache
def _removal(dialect: str) -> Delete:
    return delete(outbox).where(in_list(outbox.c.id, dialect))


def backlog(connection: Connection) -> int:
    """Return how many messages are waiting to be published."""
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


class Stuck(NamedTuple):
    """Messages of one kind that should have been published."""

    type: str
    exchange: str
    number: int
    since: datetime
    """When the oldest of them was written."""


def stuck(connection: Connection, before: datetime, now: datetime) -> list[Stuck]:
    """Return, by kind, the messages that are due, and were written before `before` by the clock that made their ids."""
    due = or_(outbox.c.due_at.is_(None), outbox.c.due_at <= now)
    kinds = select(outbox.c.type, outbox.c.exchange, func.count(), func.min(outbox.c.id))
    query = kinds.where(outbox.c.id < _first_id(before), due).group_by(outbox.c.type, outbox.c.exchange)
    return [
        Stuck(type, exchange, number, datetime.fromtimestamp(int(oldest[:12], 16) / 1000, UTC))
        for type, exchange, number, oldest in connection.execute(query.order_by(outbox.c.type))
    ]


def _first_id(moment: datetime) -> str:
    """Return what the ids of all messages that are written from this moment on follow: a UUIDv7 begins with the
    milliseconds since 1970, in 48 bits."""
    return f"{int(moment.timestamp() * 1000):012x}"


def is_empty(connection: Connection) -> bool:
    """Whether no message is waiting; unlike `backlog`, it reads a single row."""
    return connection.execute(select(outbox.c.id).limit(1)).first() is None


def _message(row: Row[tuple[object, ...]]) -> OutboxMessage:
    return OutboxMessage(**{name: getattr(row, name) for name in _OF_MESSAGE})
