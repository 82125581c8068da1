"""Connections to MariaDB and MySQL: the only module that knows the driver and its failures."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from foundation.addresses import HostPort

_LOCK_SECONDS = 10  # a user's open transaction would hold up DROP DATABASE for a day by default


class Refused(Exception):
    """An error from the server or the connection: MariaDB's error number, and a message."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(number, message)
        self.number = number
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who connects where, and how. Uses the socket if there is one."""

    user: str
    password: str = field(repr=False)
    socket: Path | None
    place: HostPort
    encryption: ssl.SSLContext | bool
    """True: if the server offers it, whatever its certificate; False: never; a context: always, with that context."""
    connect_seconds: float
    read_seconds: float
    """Seconds for one statement, or for the greeting."""
    database: str | None = None
    scripts: bool = False
    """Whether `run_all` may be called."""


class Connection:
    """An open connection. Raises `Refused` for whatever goes wrong, here and in `run`."""

    def __init__(self, login: Login) -> None:
        with _driving():
            self._socket = _dial(login)
            try:
                peer = self._socket.getpeername()
                self._connection = _opened(login, self._socket)
            except BaseException:
                self._socket.close()
                raise
        self.peer: str = peer[0] if login.socket is None else str(login.socket)
        """The server's address."""

    def run(self, statement: str, values: tuple[str, ...] = ()) -> tuple[tuple[object, ...], ...]:
        """Execute one statement and return its rows."""
        with _driving(), self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return tuple(cursor.fetchall())

    def run_all(self, script: str) -> list[tuple[tuple[object, ...], ...]]:
        """Execute statements with semicolons between them, in one round trip, and return the rows of each."""
        with _driving(), self._connection.cursor() as cursor:
            cursor.execute(script)
            results = [tuple(cursor.fetchall())]
            while cursor.nextset():
                results.append(tuple(cursor.fetchall()))
            return results

    @property
    def version(self) -> str:
        """The server's version, from its greeting."""
        return str(self._connection.get_server_info())  # type: ignore[no-untyped-call]

    def close(self) -> None:
        with _driving():
            self._connection.close()


def quoted(text: str) -> str:
    """The text as it stands between single quotes in a statement."""
    return pymysql.converters.escape_string(text)


def _opened(login: Login, dialled: socket.socket) -> "pymysql.Connection[Any]":
    connection = pymysql.connect(
        user=login.user,
        password=login.password,
        database=login.database,
        host=login.place.host,
        charset="utf8mb4",
        autocommit=True,
        read_timeout=login.read_seconds,
        write_timeout=login.read_seconds,
        ssl=login.encryption if isinstance(login.encryption, ssl.SSLContext) else None,
        # Else pymysql reads all CAs of the machine for each connection, in case the server offers encryption.
        ssl_disabled=login.encryption is False or login.socket is not None,
        init_command=f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS}",
        client_flag=CLIENT.MULTI_STATEMENTS if login.scripts else 0,
        defer_connect=True,
    )
    connection.connect(dialled)
    return connection


@contextmanager
def _driving() -> Iterator[None]:
    """Wraps every use of the driver: any exception is the server's fault, and must not end a service. With a server
    that is not MariaDB, pymysql raises IndexError, struct.error, RuntimeError and others."""
    try:
        yield
    except Exception as error:
        raise Refused(*_number_and_message(error)) from error


def _number_and_message(error: Exception) -> tuple[int, str]:
    """pymysql reports `(0, "")` when its own connection is gone, which is MariaDB's 2013. Anything that is not one of
    its errors is an unusable server: 2003."""
    match error:
        case pymysql.err.MySQLError(args=(int(number), message)) if number:
            return number, str(message)
        case pymysql.err.MySQLError():
            said = [part for part in error.args if isinstance(part, str) and part]
            return 2013, said[0] if said else "the connection was lost"
        case OSError():
            return 2003, str(error)
    return 2003, f"{type(error).__name__}: {error}"


def _dial(login: Login) -> socket.socket:
    """pymysql could do this itself, but leaks its socket when nobody answers."""
    if login.socket is None:
        return socket.create_connection(login.place, login.connect_seconds)
    dialled = socket.socket(socket.AF_UNIX)
    try:
        dialled.settimeout(login.connect_seconds)
        dialled.connect(str(login.socket))
    except BaseException:
        dialled.close()
        raise
    return dialled
