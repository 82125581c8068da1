"""Opening a database and changing it in transactions."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from foundation.errors import ConfigurationError, StoreUnreachable
from foundation.store import migrate

_BUSY_SECONDS = 10
"""How long to wait for others: for a lock, for a turn, for one of the pool's connections."""
_NETWORK = {
    "connect_timeout": 5,
    # A server that vanished says nothing; without these the system waits for it for up to two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq's connection parameters, in seconds but for the last, which is in milliseconds."""


class Store:
    """One service's database. Opening it creates no connection; `migrate` and `transaction` do."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._turns = threading.Lock() if self.is_sqlite else None

    @classmethod
    def existing(cls, url: str) -> "Store":
        """A service's database, to look into from elsewhere. Raises StoreUnreachable if it is an SQLite
        file that is not there; nothing is created."""
        file = _file(url)
        if file is not None and not file.is_file():
            raise StoreUnreachable(
                f"there is no database {file.absolute()} yet; its service makes it at its first start"
            )
        return cls(url)

    @property
    def place(self) -> str:
        """The database's address without its password, and without the query, where one may stand as well."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def create(self) -> None:
        """Create the database on its server, if it is not there; an SQLite file comes with its first use.
        Raises StoreUnreachable, also if the user may not."""
        if self.is_sqlite:
            return
        server = create_engine(self.engine.url.set(database="postgres"), connect_args=_NETWORK, hide_parameters=True)
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
        options = {"sitecrew_reading": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    def close(self) -> None:
        self.engine.dispose()

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
            if type(error) not in _UNUSABLE:
                raise
            raise StoreUnreachable(f"the database {self.place} can't be used: {_reason(error)}") from error


_UNUSABLE = (OperationalError, InterfaceError, DatabaseError, PoolTimeout)
"""These exactly: a DatabaseError that is no more than that is a damaged file, its subclasses are many things."""


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and its values."""
    return str(getattr(error, "orig", error)).strip().split("\n")[0]


def _engine(url: str) -> Engine:
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() == "sqlite":
            return _sqlite(address.render_as_string(hide_password=False))
        return _server(address)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError(
            "store_url is no database address; write sqlite:////path/file.db or postgresql://user@host/name"
        ) from None


def _server(address: URL) -> Engine:
    engine = create_engine(
        address, pool_pre_ping=True, pool_timeout=_BUSY_SECONDS, hide_parameters=True, connect_args=_NETWORK
    )
    event.listen(engine, "connect", _prepare_server)
    return engine


def _prepare_server(connection: Any, _record: object) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = '{_BUSY_SECONDS * 1000:.0f}ms'")
    connection.autocommit = False


def _file(url: str) -> Path | None:
    """The file of an SQLite database; None for any other."""
    try:
        address = make_url(url)
    except ArgumentError:
        return None  # `_engine` says so
    kept = address.get_backend_name() == "sqlite" and address.database not in (None, "", ":memory:")
    return Path(str(address.database)) if kept else None


def _sqlite(url: str) -> Engine:
    file = _file(url)
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreUnreachable(f"the database's directory can't be made: {error}") from None
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_timeout=_BUSY_SECONDS,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )
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
