"""Slow down whoever guesses passwords: after some failed sign-ins with a name or from an address, each further one has
to wait, twice as long each time. Browsers in which that member has signed in before are counted on their own, so that
nobody can lock others out by failing with their names."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import Connection, delete, select, update

from services.api.access.tables import failures
from services.api.access.tokens import digest

_FREE = {"name": 5, "address": 20, "browser": 5, "session": 5}
"""How many may fail before the first pause. Several people may share an address."""
_FIRST, _LONGEST = timedelta(seconds=15), timedelta(minutes=15)
_FORGOTTEN = timedelta(hours=1)
"""After which time without any, failures count no more."""
_ADDRESS = "address "


def keys(name: str, address: str) -> Sequence[str]:
    """Return what sign-ins are counted by. Names are hashed: one may be a password, typed into the wrong field."""
    return (f"name {digest(name)}", _ADDRESS + network_of(address)[:200])


def network_of(address: str) -> str:
    """Return what one client has to itself: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return address
    return str(known.ipv4_mapped or ip_network((int(known), 64), strict=False))


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


def forgive(connection: Connection, counted: Sequence[str], now: datetime) -> None:
    """The sign-in was good: count from the beginning. An address only loses the one that was counted, or who has a
    password could guess those of others without end."""
    addresses = [key for key in counted if key.startswith(_ADDRESS)]
    connection.execute(delete(failures).where(failures.c.key.in_(set(counted) - set(addresses))))
    one_less = {"count": failures.c.count - 1, "until": now}
    connection.execute(update(failures).where(failures.c.key.in_(addresses)).values(**one_less))


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove what counts no more."""
    connection.execute(delete(failures).where(failures.c.until < now - _FORGOTTEN))
