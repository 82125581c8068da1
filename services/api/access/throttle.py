"""Slow down whoever guesses passwords: after some failed sign-ins with a name or from an address, each further one has
to wait, twice as long each time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from services.api.access.tables import failures

_FREE = {"name": 5, "address": 20}
"""How many may fail before the first pause. Several people may share an address."""
_FIRST, _LONGEST = timedelta(seconds=15), timedelta(minutes=15)
_FORGOTTEN = timedelta(hours=1)
"""After which time without any, failures count no more."""


def keys(name: str, address: str) -> Sequence[str]:
    """Return what sign-ins are counted by."""
    return (f"name {name[:200]}", f"address {address[:200]}")


def attempt(connection: Connection, counted: Sequence[str], now: datetime) -> timedelta | None:
    """Count a sign-in as failed until it turns out to be good, so that many at once gain nothing. Returns how long to
    wait instead of trying; None if it may be tried."""
    known = {row.key: row for row in connection.execute(select(failures).where(failures.c.key.in_(counted)))}
    wait = max((row.until - now for row in known.values()), default=timedelta(0))
    if wait > timedelta(0):
        return wait
    for key in counted:
        row = known.get(key)
        count = row[1] + 1 if row and now - row.until < _FORGOTTEN else 1
        values = {"count": count, "until": now + _pause(count - _FREE[key.partition(" ")[0]])}
        if row:
            connection.execute(failures.update().where(failures.c.key == key).values(**values))
        else:
            connection.execute(failures.insert().values(key=key, **values))
    return None


def _pause(beyond: int) -> timedelta:
    """Return the pause after a failure, `beyond` those that are free."""
    return min(_FIRST * 2 ** min(beyond, 10), _LONGEST) if beyond >= 0 else timedelta(0)


def forget(connection: Connection, counted: Sequence[str]) -> None:
    """Count from the beginning: the sign-in was good."""
    connection.execute(delete(failures).where(failures.c.key.in_(counted)))


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove what counts no more."""
    connection.execute(delete(failures).where(failures.c.until < now - _FORGOTTEN))
