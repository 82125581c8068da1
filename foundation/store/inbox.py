"""The inbox: which events a service has dealt with, so that a duplicate changes nothing."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Column, Connection, PrimaryKeyConstraint, String, Table, delete, insert, select, tuple_

from foundation.store.insert import insert_missing
from foundation.store.types import Utc, metadata

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("id", String(255), nullable=False),
    Column("received_at", Utc, nullable=False, index=True),
    PrimaryKeyConstraint("consumer", "source", "id"),
)

Identity = tuple[str, str]
"""An event's (source, id)."""


def seen(connection: Connection, consumer: str, identities: Iterable[Identity]) -> set[Identity]:
    """Those of the events that this consumer has dealt with before."""
    wanted = list(identities)
    if not wanted:
        return set()
    found = select(inbox.c.source, inbox.c.id).where(
        inbox.c.consumer == consumer, tuple_(inbox.c.source, inbox.c.id).in_(wanted)
    )
    return {(row.source, row.id) for row in connection.execute(found)}


def remember(connection: Connection, consumer: str, identities: Iterable[Identity], now: datetime) -> None:
    """Note the events as dealt with. Raises IntegrityError if another replica has noted one since."""
    if rows := _rows(consumer, identities, now):
        connection.execute(insert(inbox), rows)


def remember_acted(connection: Connection, consumer: str, identities: Iterable[Identity], now: datetime) -> None:
    """Note events as dealt with after their acts. Another copy may have been noted while an act ran, and
    must not undo its record: that is guarded by the fence of what was claimed."""
    insert_missing(connection, inbox, _rows(consumer, identities, now))


def _rows(consumer: str, identities: Iterable[Identity], now: datetime) -> list[dict[str, object]]:
    return [{"consumer": consumer, "source": source, "id": id, "received_at": now} for source, id in identities]


def forget_before(connection: Connection, moment: datetime) -> int:
    """Delete what was noted before `moment`; how many rows."""
    return connection.execute(delete(inbox).where(inbox.c.received_at < moment)).rowcount
