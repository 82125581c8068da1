"""A database and a user of its own for each site, on MariaDB or MySQL."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
from pymysql.cursors import Cursor

from foundation.errors import Failed
from foundation.hosting import Database
from foundation.hosting.causes import failed

_LOCK_SECONDS = 10  # a user's open transaction would hold up DROP DATABASE for a day by default

_CODES = {
    "db_down": (1040, 1053, 1205, 1213, 1927, 2002, 2003, 2006, 2012, 2013, 2055),
    "db_auth": (1045, 1129, 1130, 1203, 1226, 1698, 1862),
    "db_denied": (1044, 1142, 1143, 1227, 1290, 1370, 1410, 1836),
    "db_full": (1021, 1041, 1114),
}
_BY_NUMBER = {number: code for code, numbers in _CODES.items() for number in numbers}
_FULL = ("errno: 28", "Errcode: 28", "No space left", "errno: 135", "Errcode: 135")


def failure(number: int, message: str, what: str) -> Failed:
    """The error for one of MariaDB's error numbers; `what` begins the detail.

    The server's words are repeated only for numbers known to quote no statement: a syntax error
    quotes a piece of it, which could be a password. MariaDB says 1005 with errno 135 when its disk is full.
    """
    if any(sign in message for sign in _FULL):
        return failed("db_full", f"{what}: {number}: {message}")
    if number in _BY_NUMBER:
        return failed(_BY_NUMBER[number], f"{what}: {number}: {message}")
    return failed("db_error", f"{what}: error {number}")


@dataclass(frozen=True, kw_only=True)
class MariaDatabases:
    """Satisfies `Databases` as an administrator of one database server, by a socket or by host and port."""

    user: str = "root"
    password: str = field(default="", repr=False)
    socket: Path | None = None
    host: str = "localhost"
    port: int = 3306
    clients: str = ""
    """The host part of the sites' users: where web servers connect from. Empty: `localhost` by a socket, else any."""
    connect_seconds: int = 5
    read_seconds: int = 20
    """How long the server may take for one statement, or for its greeting."""

    def create(self, name: str) -> Database:
        """See `Databases`. Raises `Failed`: db_down, db_auth, db_denied, db_full, db_error."""
        password = secrets.token_urlsafe(24)
        with self._administering(f"create {name}") as cursor:
            self._drop(cursor, name)
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
            cursor.execute("CREATE USER %s@%s IDENTIFIED BY %s", (name, self._clients, password))
            # In a GRANT the database is a pattern, in which a bare `_` would stand for any letter.
            pattern = name.replace("_", r"\_")
            cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO %s@%s", (name, self._clients))
        return Database(host=self._site_host, name=name, username=name, password=password)

    def drop(self, name: str) -> None:
        """See `Databases`. Raises `Failed` as `create` does."""
        with self._administering(f"drop {name}") as cursor:
            self._drop(cursor, name)

    def names(self, prefix: str) -> list[str]:
        """See `Databases`. Raises `Failed` as `create` does."""
        with self._administering(f"list {prefix}") as cursor:
            cursor.execute("SELECT schema_name FROM information_schema.schemata ORDER BY schema_name")
            return [name for (name,) in cursor.fetchall() if name.startswith(prefix)]

    @property
    def _clients(self) -> str:
        return self.clients or ("localhost" if self.socket else "%")

    @property
    def _site_host(self) -> str:
        return f"localhost:{self.socket}" if self.socket else f"{self.host}:{self.port}"

    def _drop(self, cursor: Cursor, name: str) -> None:
        """The user goes first, so nobody comes in by it while the database is going."""
        cursor.execute("DROP USER IF EXISTS %s@%s", (name, self._clients))
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")

    @contextmanager
    def _administering(self, what: str) -> Iterator[Cursor]:
        """One short connection for one piece of work; the server's errors become `Failed`."""
        connection = pymysql.connect(
            user=self.user,
            password=self.password,
            host=self.host,
            charset="utf8mb4",
            autocommit=True,
            read_timeout=self.read_seconds,
            write_timeout=self.read_seconds,
            init_command=f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS}",
            defer_connect=True,
        )
        try:
            connection.connect(_dial(self))
            with connection, connection.cursor() as cursor:
                yield cursor
        except OSError as error:
            raise failure(2002, str(error), what) from None
        except pymysql.err.MySQLError as error:
            raise failure(*_number_and_message(error), what) from None


def _number_and_message(error: pymysql.err.MySQLError) -> tuple[int, str]:
    """pymysql says `(0, "")` when it finds its own connection gone: that is MariaDB's 2013."""
    match error.args:
        case (int(number), message) if number:
            return number, str(message)
        case _:
            return 2013, "the connection was lost"


def _dial(server: MariaDatabases) -> socket.socket:
    """pymysql could do this itself, but leaves its socket open when nobody answers (1.2)."""
    if server.socket is None:
        return socket.create_connection((server.host, server.port), server.connect_seconds)
    dialled = socket.socket(socket.AF_UNIX)
    try:
        dialled.settimeout(server.connect_seconds)
        dialled.connect(str(server.socket))
    except BaseException:
        dialled.close()
        raise
    return dialled
