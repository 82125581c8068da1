"""Opening a database and changing it in transactions."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import QueuePool

from foundation.errors import ConfigurationError, StoreUnreachable
from foundation.store import migrate

_BUSY_SECONDS = 10
"""How long SQLite waits for another process's transaction; within one process a lock orders them."""


class Store:
    """One service's database. Opening it creates no connection; `migrate` and `transaction` do."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # SQLite's own waiting is sleep-polling; threads of one process can simply take turns.
        self._turn: Any = threading.Lock() if self.is_sqlite else nullcontext()

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
        """The database's address without its password."""
        return self.engine.url.render_as_string(hide_password=True)

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
        with self._turn, self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent look at the database, which never waits for those who write."""
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(sitecrew_reading=True)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise StoreUnreachable(f"the database {self.place} can't be used: {_reason(error)}") from error


def _reason(error: DBAPIError) -> str:
    """The driver's own words, without the statement and its values."""
    return str(error.orig).strip().split("\n")[0]


def _engine(url: str) -> Engine:
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() == "sqlite":
            return _sqlite(address.render_as_string(hide_password=False))
        return create_engine(address, pool_pre_ping=True, hide_parameters=True, connect_args={"connect_timeout": 5})
    except (ArgumentError, NoSuchModuleError):
        raise ConfigurationError(
            "store_url is no database address; write sqlite:////path/file.db or postgresql://user@host/name"
        ) from None


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
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once if another wrote between;
    # taking the write lock at the beginning lets it wait instead.
    reading = connection.get_execution_options().get("sitecrew_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
