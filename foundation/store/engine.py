"""Open a database, migrate it, and read and change it in transactions."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from select import POLLIN, poll
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from foundation.errors import ConfigurationError, StoreUnreachable
from foundation.store import address, failures, migrate, sqlite_files

_BUSY_SECONDS = 10
"""How long to wait for others: for a lock or for one of the pool's connections."""

_FROZEN_SECONDS = 30
"""How long a process may do nothing in a transaction, and keep others from the rows that it has locked. Deciding takes
milliseconds: one that takes so long is frozen, or its machine is gone, and its transaction is rolled back."""

_COMMON: dict[str, Any] = {
    "pool_use_lifo": True,  # the connection that was used last has most in its cache
    "hide_parameters": True,
    "json_serializer": lambda value: orjson.dumps(value).decode(),
    "json_deserializer": orjson.loads,
}


class Store:
    """One service's database. Creating the object opens no connection.

    A service opens its own database with `ours=True`: an SQLite file is then created, with access for its owner only.
    """

    def __init__(self, url: str, *, ours: bool = True, read_only: bool = False) -> None:
        self.engine = _engine(url, ours, read_only)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._write_lock = threading.Lock() if self.is_sqlite else None

    @classmethod
    def existing(cls, url: str, *, read_only: bool = False) -> "Store":
        """Open a service's database from another process, creating nothing; with `read_only`, SQLite opens the file so
        that nothing can be changed in it. Raises StoreUnreachable if it is an SQLite file that does not exist."""
        file = address.file_of(url)
        if file is not None and not file.is_file():
            raise StoreUnreachable(
                f"there is no database {file.absolute()} yet; its service creates it at its first start"
            )
        return cls(url, ours=False, read_only=read_only)

    @property
    def place(self) -> str:
        """The database's URL without its password, and without the query, which may contain one as well."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def create(self) -> None:
        """Create the database on its server unless it exists; an SQLite file is created on first use.

        Raises StoreUnreachable if the server does not answer, or the user may not create databases.
        """
        if self.is_sqlite:
            return
        url, own = address.parsed(
            self.engine.url.set(database="postgres").render_as_string(hide_password=False), _BUSY_SECONDS
        )
        server = create_engine(url, connect_args=own, hide_parameters=True)
        name = self.engine.dialect.identifier_preparer.quote(str(self.engine.url.database))
        try:
            with self._translated(), server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                names = connection.scalars(text("SELECT datname FROM pg_database")).all()
                if self.engine.url.database not in names:
                    connection.execute(text(f"CREATE DATABASE {name}"))
        finally:
            server.dispose()

    def migrate(self, folders: Sequence[Path]) -> None:
        """Upgrade the schema to the newest version: inbox, outbox, and the service's own tables, whose migrations are
        in `folders`. Safe to run from several replicas at once. Raises StoreUnreachable."""
        with self._translated():
            migrate.upgrade(self.engine, folders)

    def is_migrated(self, folders: Sequence[Path]) -> bool:
        """Whether the schema is up to date. Changes nothing."""
        with self._translated():
            return migrate.is_newest(self.engine, folders)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run a transaction that may write: commit at the end, roll back on any exception.

        Raises StoreUnreachable if the database does not answer, or its write lock is not free within 10 seconds.
        """
        with self._writing(), self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run a read-only transaction on a consistent snapshot; never waits for writers. Raises StoreUnreachable."""
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(sitecrew_reading=True)

    def close(self) -> None:
        self.engine.dispose()

    def time(self) -> datetime | None:
        """Return the database server's time, in UTC; None for SQLite, which only has this machine's clock."""
        if self.is_sqlite:
            return None
        with self.reading() as connection:
            time: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return time.astimezone(UTC)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one thread at a time write to SQLite, which by itself would wait for its lock by polling."""
        if self._write_lock is None:
            yield
        elif self._write_lock.acquire(timeout=_BUSY_SECONDS):
            try:
                yield
            finally:
                self._write_lock.release()
        else:
            raise StoreUnreachable(f"could not acquire the write lock on {self.place} within {_BUSY_SECONDS} s")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            if (translated := failures.translated(error, self.place)) is None:
                raise
            if failures.invalidates_connections(error):
                self.engine.dispose()
            raise translated from error


def _engine(url: str, ours: bool, read_only: bool) -> Engine:
    place, own = address.parsed(url, _BUSY_SECONDS)
    if place.get_backend_name() == "sqlite" and read_only:
        return _sqlite_to_read(place, address.file_of(url), own)
    if place.get_backend_name() == "sqlite":
        return _sqlite(place, address.file_of(url), own, ours)
    engine = create_engine(place, pool_pre_ping=True, pool_timeout=_BUSY_SECONDS, connect_args=own, **_COMMON)
    engine.dialect.do_ping = _is_open  # type: ignore[method-assign,assignment]  # instead of a statement
    event.listen(engine, "connect", _prepare_server)
    event.listen(engine, "begin", _begin_on_server)
    event.listen(engine, "do_execute_no_params", _execute_unprepared)
    return engine


def _prepare_server(connection: Any, _record: object) -> None:
    connection.autocommit = True  # _begin_on_server begins transactions


def _is_open(connection: Any) -> bool:
    """Whether an idle connection can be used, as far as can be seen without a round trip: a server says nothing on it
    until it closes it."""
    if connection.closed:
        return False
    socket = poll()
    socket.register(connection, POLLIN)
    return not socket.poll(0)


def _begin_on_server(connection: Connection) -> None:
    # Set per transaction: a session's setting would stay with whoever a pooler gives that session to next.
    reading = connection.get_execution_options().get("sitecrew_reading")
    kind = " ISOLATION LEVEL REPEATABLE READ READ ONLY" if reading else ""
    begin = f"BEGIN{kind}; SET LOCAL lock_timeout = '{_BUSY_SECONDS * 1000:.0f}ms'"
    if not reading:
        begin += f"; SET LOCAL idle_in_transaction_session_timeout = '{_FROZEN_SECONDS}s'"
    connection.exec_driver_sql(begin, execution_options={"no_parameters": True})


def _execute_unprepared(cursor: Any, statement: str, _context: object) -> bool:
    """Execute without preparing: two statements in one save a round trip, but cannot be prepared."""
    cursor.execute(statement, prepare=False)
    return True


def _sqlite(place: URL, file: Path | None, own: dict[str, Any], ours: bool) -> Engine:
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreUnreachable(f"cannot create the database's directory: {error}") from None
    engine = create_engine(place, poolclass=QueuePool, pool_timeout=_BUSY_SECONDS, connect_args=own, **_COMMON)
    if file is not None and ours:
        event.listen(engine, "do_connect", lambda *_: sqlite_files.make_private(file))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _sqlite_to_read(place: URL, file: Path | None, own: dict[str, Any]) -> Engine:
    if file is None:
        raise ConfigurationError("a database in memory cannot be read by another process")
    url = f"{file.absolute().as_uri()}?mode=ro"
    engine = create_engine(place, creator=lambda: sqlite3.connect(url, uri=True, **own), poolclass=QueuePool, **_COMMON)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once if another one wrote in between. Taking the
    # write lock at the beginning makes it wait instead.
    reading = connection.get_execution_options().get("sitecrew_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
