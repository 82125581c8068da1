"""Run a private PostgreSQL with default settings, so that every commit is flushed to disk."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from foundation.errors import ConfigurationError
from sitecrew.stack.processes import PATH, Child, Command


@dataclass(frozen=True)
class Postgres:
    """One server, listening on a socket in its own directory."""

    directory: Path
    child: Child

    def database(self) -> str:
        """Create an empty database; return its URL."""
        name = f"db_{secrets.token_hex(4)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def address(self, database: str) -> str:
        return f"postgresql://bench@/{database}?host={self.directory}"

    def answers(self) -> bool | None:
        try:
            psycopg.connect(self.address("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return None
        return True


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server within the block. Raises ConfigurationError if PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ConfigurationError("PostgreSQL is not installed; run script/bootstrap postgresql.")
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    user: tuple[str, ...] = ()
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        somebody = next(user.pw_name for user in pwd.getpwall() if user.pw_name in {"postgres", "nobody"})
        shutil.chown(directory, somebody)
        user = ("setpriv", f"--reuid={somebody}", "--clear-groups")
    initdb = (*user, str(found[-1]), "-D", str(directory / "data"), "-U", "bench", "-A", "trust", "-E", "UTF8")
    subprocess.run(initdb, check=True, capture_output=True, cwd="/")  # noqa: S603  # no shell, and it is ours
    server = found[-1].parent / "postgres"
    argv = (*user, str(server), "-D", str(directory / "data"), "-k", str(directory), "-c", "listen_addresses=")
    environment = {"PATH": PATH, "LANG": "C.UTF-8"}
    child = Child(Command(name="postgres", argv=argv, environment=environment, log=directory / "log"))
    started = Postgres(directory, child)
    try:
        child.start()
        child.ready(started.answers, 90, "Read its log.")
        yield started
    finally:
        child.stop()
        shutil.rmtree(directory, ignore_errors=True)  # children of the server may still be exiting
