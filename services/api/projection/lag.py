"""How far the projection is behind. One replica projects, and the pages of all of them say it."""

from datetime import datetime

from sqlalchemy import Column, Connection, String, Table, select, update

from foundation.store import Utc
from foundation.store.types import metadata

lag = Table(
    "lag",
    metadata,
    Column("queue", String(200), primary_key=True),
    Column("behind_since", Utc),
)


def note(connection: Connection, queue: str, behind_since: datetime | None) -> None:
    """Write down when the newest event happened that is projected while more wait; None if none wait."""
    if not connection.execute(update(lag).where(lag.c.queue == queue).values(behind_since=behind_since)).rowcount:
        connection.execute(lag.insert().values(queue=queue, behind_since=behind_since))


def behind_since(connection: Connection, queue: str) -> datetime | None:
    """Return the time up to which the projection is complete; None if it is up to date."""
    return connection.execute(select(lag.c.behind_since).where(lag.c.queue == queue)).scalar()
