"""The inbox: which events a service has dealt with, so that a duplicate changes nothing."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Column, Connection, PrimaryKeyConstraint, String, Table, delete, insert, select, tuple_

from foundation.store.insert import insert_missing
from foundation.store.types import Utc, metadata

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("id", String(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("received_at", Utc, nullable=False, index=True),
    PrimaryKeyConstraint("consumer", "source", "id"),
)

Identity = tuple[str, str]
"""An event's (source, id)."""


class Fingerprint(NamedTuple):
    """What tells an event from another one of the same name."""

    digest: str
    """Of what it says."""
    user_id: str = ""
    """Who says it, where somebody vouches for that."""

    def agrees(self, other: "Fingerprint") -> bool:
        """Whether both are of one event. Who begins to give his user's name, or ceases to, is no other."""
        strangers = self.user_id and other.user_id and self.user_id != other.user_id
        return self.digest == other.digest and not strangers


NOTHING = Fingerprint("")
"""Of what is no event."""


def seen(connection: Connection, consumer: str, identities: Iterable[Identity]) -> dict[Identity, Fingerprint]:
    """Those of the events that this consumer has dealt with before, and what they were."""
    wanted = list(identities)
    if not wanted:
        return {}
    found = select(inbox.c.source, inbox.c.id, inbox.c.digest, inbox.c.user_id).where(
        inbox.c.consumer == consumer, tuple_(inbox.c.source, inbox.c.id).in_(wanted)
    )
    return {(row.source, row.id): Fingerprint(row.digest, row.user_id) for row in connection.execute(found)}


def remember(connection: Connection, consumer: str, events: Mapping[Identity, Fingerprint], now: datetime) -> None:
    """Note the events as dealt with. Raises IntegrityError if another replica has noted one since."""
    if rows := _rows(consumer, events, now):
        connection.execute(insert(inbox), rows)


def remember_late(connection: Connection, consumer: str, events: Mapping[Identity, Fingerprint], now: datetime) -> None:
    """Note events as dealt with after their acts. Another copy may have been noted while an act ran, and
    must not undo its record: that is guarded by the fence of what was claimed."""
    insert_missing(connection, inbox, _rows(consumer, events, now))


def _rows(consumer: str, events: Mapping[Identity, Fingerprint], now: datetime) -> list[dict[str, object]]:
    return [
        {"consumer": consumer, "source": source, "id": id, "received_at": now, **fingerprint._asdict()}
        for (source, id), fingerprint in sorted(events.items())
    ]


def forget_before(connection: Connection, moment: datetime) -> int:
    """Delete what was noted before `moment`; how many rows."""
    return connection.execute(delete(inbox).where(inbox.c.received_at < moment)).rowcount
