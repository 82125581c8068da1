"""Parse database URLs (`store_url`), and explain what is wrong with an unusable one."""

from pathlib import Path
from typing import Any

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
    # A server that has vanished sends nothing; without these, the operating system waits for up to two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # Prepared statements belong to a server session, which a pooler such as PgBouncer hands to other clients.
    "prepare_threshold": None,
}
"""Connection parameters of libpq and psycopg: seconds, except `tcp_user_timeout` (milliseconds)."""


def parsed(url: str, busy_seconds: float) -> tuple[URL, dict[str, Any]]:
    """Return the database's URL and further arguments for its driver; options in the URL override our defaults.

    `busy_seconds` is how long SQLite waits for a lock. Raises ConfigurationError, which never repeats a password.
    """
    address = _read(url.strip())
    if address.get_backend_name() == "sqlite":
        return address, _for_sqlite(address, busy_seconds)
    own = {name: value for name, value in _NETWORK.items() if name not in address.query}
    if "prepare_threshold" in address.query:
        own["prepare_threshold"] = _number_or_none(str(address.query["prepare_threshold"]))
        address = address.difference_update_query(["prepare_threshold"])
    _refuse_unknown_options(address)
    return address, own


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite database; None for any other database."""
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
        raise ConfigurationError(f"store_url is not a valid database URL; {_HOW}") from None
    driver = _DRIVERS.get(address.drivername)
    if driver is None:
        raise ConfigurationError(
            f"store_url: {address.drivername} is not supported; use SQLite or PostgreSQL (psycopg); {_HOW}"
        )
    if "@" in (address.host or ""):
        raise ConfigurationError(f"store_url has more than one @; {_HOW}")
    if driver == "sqlite" and (address.host or address.username):
        raise ConfigurationError(f"store_url: use three slashes for a relative path, four for an absolute one; {_HOW}")
    return address.set(drivername=driver)


def _for_sqlite(address: URL, busy_seconds: float) -> dict[str, Any]:
    if unknown := sorted(set(address.query) - _SQLITE_OPTIONS):
        raise ConfigurationError(
            f"store_url: unknown option {unknown[0]!r} after the ?; the known one is timeout (seconds)"
        )
    try:
        timeout = float(str(address.query.get("timeout", busy_seconds)))
    except ValueError:
        raise ConfigurationError("store_url: timeout must be a number of seconds") from None
    return {"timeout": timeout, "isolation_level": None, "check_same_thread": False}


def _refuse_unknown_options(postgresql: URL) -> None:
    import psycopg  # noqa: PLC0415 - slow to import, and SQLite does without
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    try:
        make_conninfo("", **{name: str(value) for name, value in postgresql.query.items()})
    except psycopg.Error as error:
        raise ConfigurationError(f"store_url: invalid option after the ?: {error}") from None


def _number_or_none(text: str) -> int | None:
    if text.lower() in ("", "none"):
        return None
    if not text.isdecimal():
        raise ConfigurationError("store_url: prepare_threshold must be a whole number, or none to disable preparing")
    return int(text)
