"""Run a PostgreSQL server for the tests, if this machine has it installed.

It is a child of the test process with its own directory, runs as another user if we are root (it refuses
to run as root), and listens only on a socket in that directory.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import MetaData, text

from foundation.store import Store
from sitecrew.stack.processes import PATH, Child, Command
from tests.support.brokers import until


def installed() -> Path | None:
    """Return the directory of the newest server's programs; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """One server, whose data is deleted when it ends."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.directory = directory
        settings = (
            "listen_addresses=",
            "fsync=off",
            "autovacuum=off",
            "dynamic_shared_memory_type=mmap",
        )  # nothing is left in /dev/shm
        arguments = ("-D", str(directory / "data"), "-k", str(directory), *(f"-c{setting}" for setting in settings))
        self._child = Child(
            Command(
                name="postgres",
                argv=(*_as_somebody(), str(programs / "postgres"), *arguments),
                environment={"PATH": PATH, "LANG": "C.UTF-8"},
                log=directory / "log",
            )
        )

    def start(self) -> None:
        self._child.start()
        self._child.ready(self._answers, 90, "read its log")

    def kill(self) -> None:
        """Kill the server, like a power failure."""
        self._child.kill()

    def database(self, language: str = "") -> str:
        """Create an empty database that sorts text by a language's rules, or byte by byte; return its URL."""
        name = f"db_{secrets.token_hex(4)}"
        assert self._child.running, f"PostgreSQL ended with {self._child.poll()}:\n{self._child.last_words()}"
        sorting = f"TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{language}'" if language else ""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {sorting}")
        return f"postgresql://tests@/{name}?host={self.directory}"

    def _answers(self) -> bool | None:
        try:
            psycopg.connect(self._address("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return None
        return True

    def _address(self, database: str) -> str:
        return f"postgresql://tests@/{database}?host={self.directory}"


@contextmanager
def holding(tables: MetaData, request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    """Open a database that has these tables: of SQLite or PostgreSQL, as the fixture's parameter says."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{directory}/x.db" if sqlite else str(request.getfixturevalue("postgres").database())
    with closing(Store(url)) as opened:
        with opened.transaction() as connection:
            tables.create_all(connection)
        yield opened


def until_blocked(store: Store) -> None:
    """Wait until a transaction on the store's database is waiting for another one."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def is_blocked() -> bool:
        with store.reading() as connection:
            return bool(connection.execute(waiting).scalar_one())

    until(is_blocked, 60)


@contextmanager
def pooled(server: Postgres, programs: Path = Path("/usr/sbin")) -> Iterator[str]:
    """Run a pgbouncer in transaction mode in front of the server; yields its socket directory and port as a URL query.
    A few sessions serve all clients, so anything that a client leaves in a session is left to others."""
    directory = Path(tempfile.mkdtemp(prefix="pool-", dir="/tmp"))
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={server.directory} user=tests\n[pgbouncer]\nlisten_port = 6432\n"
        f"unix_socket_dir = {directory}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n"
    )
    if os.geteuid() == 0:
        shutil.chown(directory, _somebody())
    child = Child(
        Command(
            name="pgbouncer",
            argv=(*_as_somebody(), str(programs / "pgbouncer"), str(configuration)),
            environment={"PATH": PATH, "LANG": "C.UTF-8"},
            log=directory / "log",
        )
    )
    child.start()
    try:
        child.ready(lambda: (directory / ".s.PGSQL.6432").exists() or None, 30, "read its log")
        yield f"host={directory}&port=6432"
    finally:
        child.kill()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running(programs: Path) -> Iterator[Postgres]:
    """Run a server within the block."""
    # Not in pytest's own directories: other users can't enter them, and they are too long for a socket's path.
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(directory, _somebody())
    initdb = (str(programs / "initdb"), "-D", str(directory / "data"), "-U", "tests", "-A", "trust", "--no-sync")
    subprocess.run((*_as_somebody(), *initdb, "-E", "UTF8"), check=True, capture_output=True, cwd="/")
    server = Postgres(programs, directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)  # children of the server may still be exiting


@dataclass(frozen=True)
class Stores:
    """The stores of a system test's services: on a server, or SQLite files with everything else."""

    server: Postgres | None

    def settings(self) -> dict[str, str]:
        """Return settings that name new databases on the server; empty for SQLite files."""
        services = ("order_intake", "installer", "mailer") if self.server else ()
        return {f"{name}.store_url": self.server.database() for name in services if self.server}


def _somebody() -> str:
    return next(user.pw_name for user in pwd.getpwall() if user.pw_name in {"postgres", "nobody"})


def _as_somebody() -> tuple[str, ...]:
    return ("setpriv", f"--reuid={_somebody()}", "--clear-groups") if os.geteuid() == 0 else ()
