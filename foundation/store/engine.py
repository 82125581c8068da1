"""Opening a database and changing it in transactions."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from foundation.errors import StoreUnreachable
from foundation.store import address, files, migrate, trouble

_BUSY_SECONDS = 10
"""How long to wait for others: for a lock, for a turn, for one of the pool's connections."""

_JSON = {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}


class Store:
    """One service's database. Opening it creates no connection; `migrate` and `transaction` do. The files of
    one that is `ours`, as it is its service's, are made and kept private."""

    def __init__(self, url: str, *, ours: bool = True) -> None:
        self.engine = _engine(url, ours)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._turns = threading.Lock() if self.is_sqlite else None

    @classmethod
    def existing(cls, url: str) -> "Store":
        """A service's database, to look into from elsewhere. Raises StoreUnreachable if it is an SQLite
        file that is not there; nothing is created."""
        file = address.file_of(url)
        if file is not None and not file.is_file():
            raise StoreUnreachable(
                f"there is no database {file.absolute()} yet; its service makes it at its first start"
            )
        return cls(url, ours=False)

    @property
    def place(self) -> str:
        """The database's address without its password, and without the query, where one may stand as well."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def create(self) -> None:
        """Create the database on its server, if it is not there; an SQLite file comes with its first use.
        Raises StoreUnreachable, also if the user may not."""
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
        """Bring the database to the newest shape: the inbox and outbox, and a service's own tables.
        Several replicas may do this at once."""
        with self._translated():
            migrate.upgrade(self.engine, folders)

    def is_migrated(self, folders: Sequence[Path]) -> bool:
        """Whether `migrate` would have nothing to do. Changes nothing."""
        with self._translated():
            return migrate.is_newest(self.engine, folders)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Everything within commits together or not at all. Raises StoreUnreachable if the database
        does not answer, or gives no turn within 10 seconds."""
        with self._turn(), self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent look at the database, which never waits for those who write."""
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(sitecrew_reading=True)

    def close(self) -> None:
        self.engine.dispose()

    def time(self) -> datetime | None:
        """The database server's clock; None for SQLite, which has none but this machine's."""
        if self.is_sqlite:
            return None
        with self.reading() as connection:
            told: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return told.astimezone(UTC)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite's own waiting is sleep-polling; threads of one process can simply take turns."""
        if self._turns is None:
            yield
        elif self._turns.acquire(timeout=_BUSY_SECONDS):
            try:
                yield
            finally:
                self._turns.release()
        else:
            raise StoreUnreachable(f"the database {self.place} gave no turn within {_BUSY_SECONDS} seconds")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            if (away := trouble.of(error, self.place)) is None:
                raise
            if trouble.spoils_sessions(error):
                self.engine.dispose()
            raise away from error


def _engine(url: str, ours: bool) -> Engine:
    place, own = address.parsed(url, _BUSY_SECONDS)
    if place.get_backend_name() == "sqlite":
        return _sqlite(place, address.file_of(url), own, ours)
    engine = create_engine(
        place, pool_pre_ping=True, pool_timeout=_BUSY_SECONDS, hide_parameters=True, connect_args=own, **_JSON
    )
    event.listen(engine, "connect", _prepare_server)
    event.listen(engine, "begin", _begin_on_server)
    event.listen(engine, "do_execute_no_params", _execute_unprepared)
    return engine


def _prepare_server(connection: Any, _record: object) -> None:
    connection.autocommit = True  # transactions begin by our own words


def _begin_on_server(connection: Connection) -> None:
    # Set for this transaction: what is set for a session would stay with whom a pooler gives that session next.
    reading = connection.get_execution_options().get("sitecrew_reading")
    kind = " ISOLATION LEVEL REPEATABLE READ READ ONLY" if reading else ""
    begin = f"BEGIN{kind}; SET LOCAL lock_timeout = '{_BUSY_SECONDS * 1000:.0f}ms'"
    connection.exec_driver_sql(begin, execution_options={"no_parameters": True})


def _execute_unprepared(cursor: Any, statement: str, _context: object) -> bool:
    """Two statements in one can't be prepared, and need but one way to the server and back."""
    cursor.execute(statement, prepare=False)
    return True


def _sqlite(place: URL, file: Path | None, own: dict[str, Any], ours: bool) -> Engine:
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreUnreachable(f"the database's directory can't be made: {error}") from None
    engine = create_engine(
        place, poolclass=QueuePool, pool_timeout=_BUSY_SECONDS, hide_parameters=True, connect_args=own, **_JSON
    )
    if file is not None and ours:
        event.listen(engine, "do_connect", lambda *_: files.make_private(file))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once if another wrote between;
    # taking the write lock at the beginning lets it wait instead.
    reading = connection.get_execution_options().get("sitecrew_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
