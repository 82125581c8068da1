"""Addresses of databases: what may stand in `store_url`, and what is wrong with one that can't be used."""

from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from foundation.errors import ConfigurationError

_HOW = (
    "write sqlite:////path/file.db or postgresql://user:password@host/name; "
    "percent-encode @ / : # ? % in user and password (@ is %40)"
)
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_SQLITE_OPTIONS = frozenset({"timeout", "cached_statements", "uri", "mode", "cache", "vfs", "immutable", "nolock"})
_NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    # A server that vanished says nothing; without these the system waits for it for up to two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # Statements prepared on the server belong to its session, and a pooler like pgbouncer gives that to others.
    "prepare_threshold": None,
}
"""libpq's connection parameters, in seconds but for `tcp_user_timeout`, which is in milliseconds, and psycopg's."""


def parsed(url: str, busy_seconds: float) -> tuple[URL, dict[str, Any]]:
    """The database's address, and what its driver is to be told besides, such as how long to wait for a lock; what
    the address says wins over what we would choose. Raises ConfigurationError, which repeats nothing of a password."""
    address = _read(url.strip())
    if address.get_backend_name() == "sqlite":
        return address, _for_sqlite(address, busy_seconds)
    own = {name: value for name, value in _NETWORK.items() if name not in address.query}
    if "prepare_threshold" in address.query:
        own["prepare_threshold"] = _number_or_none(str(address.query["prepare_threshold"]))
        address = address.difference_update_query(["prepare_threshold"])
    try:
        make_conninfo("", **{name: str(value) for name, value in address.query.items()})
    except psycopg.Error as error:
        raise ConfigurationError(f"store_url: what it says after the ? can't be used: {error}") from None
    return address, own


def file_of(url: str) -> Path | None:
    """The file of an SQLite database; None for any other."""
    address = _read(url.strip())
    name = str(address.database or "")
    if address.get_backend_name() != "sqlite" or name in ("", ":memory:"):
        return None
    return Path(name.removeprefix("file:"))


def _read(url: str) -> URL:
    if not url:
        raise ConfigurationError(f"store_url is empty; {_HOW}")
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"store_url is not a database's address; {_HOW}") from None
    driver = _DRIVERS.get(address.drivername)
    if driver is None:
        raise ConfigurationError(
            f"store_url: {address.drivername} is not supported, SQLite and PostgreSQL (by psycopg) are; {_HOW}"
        )
    if "@" in (address.host or ""):
        raise ConfigurationError(f"store_url has more than one @; {_HOW}")
    if driver == "sqlite" and (address.host or address.username):
        raise ConfigurationError(f"store_url: three slashes begin a relative path, four an absolute one; {_HOW}")
    return address.set(drivername=driver)


def _for_sqlite(address: URL, busy_seconds: float) -> dict[str, Any]:
    if unknown := sorted(set(address.query) - _SQLITE_OPTIONS):
        raise ConfigurationError(f"store_url: {unknown[0]!r} after the ? is unknown; timeout, in seconds, is known")
    try:
        timeout = float(str(address.query.get("timeout", busy_seconds)))
    except ValueError:
        raise ConfigurationError("store_url: timeout is a number of seconds") from None
    return {"timeout": timeout, "isolation_level": None, "check_same_thread": False}


def _number_or_none(text: str) -> int | None:
    if text.lower() in ("", "none"):
        return None
    if not text.isdecimal():
        raise ConfigurationError("store_url: prepare_threshold is a whole number, or none for no prepared statements")
    return int(text)
