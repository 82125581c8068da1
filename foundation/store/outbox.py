"""The outbox: messages that were decided in a transaction and are to be published after it.

A row lives until the broker has confirmed its message. `claimed_until` says until when the row is
somebody's: rows are born claimed by the process that writes them, which publishes them at once;
what is still there after that time is anybody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from foundation.store.types import Utc, metadata

_LONGEST_CLAIM = timedelta(minutes=5)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
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
    # SQLite would give a removed row's number to a new one, and a relay that learns late of a confirm
    # would then remove what nobody has published.
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Pending:
    """A message to be published. With `due_at`, `routing_key` is the queue to reach at that time;
    without, it is published to `exchange` at once."""

    exchange: str
    routing_key: str
    message_id: str
    type: str
    correlation_id: str
    content_type: str
    body: bytes
    due_at: datetime | None = None
    headers: dict[str, str | int] = field(default_factory=dict)
    id: int = 0
    """The row's number once it is written."""


_COLUMNS = [
    "exchange",
    "routing_key",
    "message_id",
    "type",
    "correlation_id",
    "content_type",
    "body",
    "due_at",
    "headers",
]


def add(connection: Connection, messages: Sequence[Pending], claimed_until: datetime) -> list[Pending]:
    """Write the messages; the same with their row numbers."""
    if not messages:
        return []
    rows = [{**{name: getattr(m, name) for name in _COLUMNS}, "claimed_until": claimed_until} for m in messages]
    written = connection.execute(insert(outbox).returning(outbox.c.id, sort_by_parameter_order=True), rows)
    return [_with_id(message, row.id) for message, row in zip(messages, written, strict=True)]


def claim(connection: Connection, now: datetime, until: datetime, limit: int) -> list[Pending]:
    """Take up to `limit` rows that are nobody's, oldest first. Two relays never take the same."""
    # Nobody claims for so long, unless it is not due: the clock has been put back since.
    undone = and_(
        outbox.c.claimed_until > now + _LONGEST_CLAIM,
        or_(outbox.c.due_at.is_(None), outbox.c.due_at < outbox.c.claimed_until),
    )
    free = (
        select(outbox.c.id)
        .where(or_(outbox.c.claimed_until < now, undone))
        .order_by(outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("free")  # evaluated once; PostgreSQL may run a plain subquery again for each row, past the limit
    )
    taken = update(outbox).where(outbox.c.id.in_(select(free.c.id))).values(claimed_until=until).returning(outbox)
    return sorted((_pending(row) for row in connection.execute(taken)), key=lambda message: message.id)


def hold(connection: Connection, ids: Sequence[int], until: datetime) -> None:
    """Leave the rows alone until then."""
    connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(claimed_until=until))


def remove(connection: Connection, ids: Sequence[int]) -> None:
    """The broker has these: forget them."""
    connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))


def backlog(connection: Connection) -> int:
    """How many messages wait to be published."""
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def is_empty(connection: Connection) -> bool:
    """Whether nothing waits; unlike `backlog`, however much waits, it looks at one row."""
    return connection.execute(select(outbox.c.id).limit(1)).first() is None


def _with_id(message: Pending, id: int) -> Pending:
    return Pending(**{name: getattr(message, name) for name in _COLUMNS}, id=id)


def _pending(row: Row[tuple[object, ...]]) -> Pending:
    return Pending(**{name: getattr(row, name) for name in _COLUMNS}, id=row.id)
