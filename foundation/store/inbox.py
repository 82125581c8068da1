"""The inbox: the events that a service has handled, so that a duplicate changes nothing."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Index,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    bindparam,
    delete,
    select,
)

from foundation.store import bulk
from foundation.store.in_list import in_list
from foundation.store.types import Bytewise, Utc, metadata

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", Bytewise(64), nullable=False),
    Column("source", Bytewise(255), nullable=False),
    Column("id", Bytewise(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("received_at", Utc, nullable=False),
    PrimaryKeyConstraint("consumer", "id", "source"),
    Index("ix_inbox_received_at", "received_at", postgresql_using="brin"),  # written in this order, and read rarely
    sqlite_with_rowid=False,  # the key is nearly all of a row
)

_COLUMNS = tuple(map(str, inbox.c.keys()))

Identity = tuple[str, str]
"""An event's (source, id)."""


class Fingerprint(NamedTuple):
    """Tells two events with the same source and id apart."""

    digest: str
    """Digest of the event's content."""
    user_id: str = ""
    """The sending user, if the broker vouches for it."""

    def agrees(self, other: "Fingerprint") -> bool:
        """Whether both belong to the same event. A sender may start or stop setting `user_id` in between."""
        different_users = self.user_id and other.user_id and self.user_id != other.user_id
        return self.digest == other.digest and not different_users


NOTHING = Fingerprint("")
"""The fingerprint of a message that is not a valid event."""


def seen(connection: Connection, consumer: str, identities: Iterable[Identity]) -> dict[Identity, Fingerprint]:
    """Return those of the events that this consumer has handled before, with their fingerprints."""
    wanted = set(identities)
    if not wanted:
        return {}
    parameters = {"of": consumer, "wanted": [id for _, id in wanted]}
    rows = connection.execute(_seen(connection.dialect.name), parameters)
    return {
        (row.source, row.id): Fingerprint(row.digest, row.user_id) for row in rows if (row.source, row.id) in wanted
    }


@lru_cache
def _seen(dialect: str) -> Select[tuple[str, str, str, str]]:
    named = select(inbox.c.source, inbox.c.id, inbox.c.digest, inbox.c.user_id)
    return named.where(inbox.c.consumer == bindparam("of"), in_list(inbox.c.id, dialect))


def remember(connection: Connection, consumer: str, events: Mapping[Identity, Fingerprint], now: datetime) -> None:
    """Record the events as handled. Raises IntegrityError if another replica has recorded one meanwhile."""
    if rows := _rows(consumer, events, now):
        bulk.add(connection, inbox, _COLUMNS, rows)


def remember_late(connection: Connection, consumer: str, events: Mapping[Identity, Fingerprint], now: datetime) -> None:
    """Record events as handled after their effects. Another copy may have been recorded while an effect ran; that must
    not roll back the effect's result, which the fencing token guards."""
    if rows := _rows(consumer, events, now):
        bulk.add(connection, inbox, _COLUMNS, rows, unless_there=True)


def _rows(consumer: str, events: Mapping[Identity, Fingerprint], now: datetime) -> list[bulk.Row]:
    known = sorted(events.items())
    return [(consumer, source, id, digest, user_id, now) for (source, id), (digest, user_id) in known]


def forget_before(connection: Connection, moment: datetime) -> int:
    """Delete events recorded before `moment`; return how many."""
    return connection.execute(delete(inbox).where(inbox.c.received_at < moment)).rowcount
