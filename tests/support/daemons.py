"""Private servers for tests: MariaDB and PHP's web server. They stop with the test."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sitecrew.stack.web
from foundation.addresses import HostPort
from foundation.hosting.databases import MariaDatabases
from sitecrew.stack.ports import free_port
from sitecrew.stack.servers.mariadb import greeting

DOKUWIKI = Path(__file__).parents[2] / "var/recipes/dokuwiki/dokuwiki.toml"
"""Where script/bootstrap creates it."""

_ROUTER = Path(sitecrew.stack.web.__file__).with_name("router.php")
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # Debian keeps daemons out of users' PATH
_ROOM = 4 * 1024**3  # bytes


def require(*programs: str) -> None:
    """Skip the test if a program is missing; fail in CI."""
    missing = [name for name in programs if shutil.which(name, path=_PATH) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def require_recipe() -> Path:
    """Return DokuWiki's recipe, next to its archive. Skip the test if there is none; fail in CI."""
    if not DOKUWIKI.is_file():
        missing = "no archive of DokuWiki; script/bootstrap dokuwiki makes one"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return DOKUWIKI


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Create a directory, in memory if there is room: ext4 becomes slow for minutes when big trees are deleted.

    Its path is also short: a socket's path is limited to 107 bytes, which pytest's own directories often exceed.
    """
    memory = Path("/dev/shm")  # noqa: S108 - the directory made in it has a random name and mode 0700
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    directory = Path(tempfile.mkdtemp(prefix="sitecrew-", dir=memory if roomy else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Daemon:
    """A server process in its own session."""

    process: subprocess.Popen[bytes]

    def freeze(self) -> None:
        """Suspend it, so that it accepts connections but never answers."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def stop(self) -> None:
        """Kill it and its children; do nothing if it has already ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


@contextlib.contextmanager
def mariadb(*extra: str, port: int | None = None, anonymous: bool = False) -> Iterator[tuple[MariaDatabases, Daemon]]:
    """Run a private database server; yields it with its process, to stop it early.

    With a `port`, it also listens on TCP, on every loopback address. `anonymous` keeps the anonymous users that
    `mariadb-install-db` creates by default.
    """
    require("mariadb-install-db", "mariadbd")
    network = ["--skip-networking"] if port is None else [f"--port={port}", "--bind-address=*"]
    with scratch() as directory:
        daemon = _mariadb_daemon(directory, [*network, *extra], [] if anonymous else ["--skip-test-db"])
        try:
            eventually(lambda: greeting(directory / "sock") is not None)
            yield MariaDatabases(user="root", socket=directory / "sock"), daemon
        finally:
            daemon.stop()


def _mariadb_daemon(directory: Path, extra: list[str], first: list[str]) -> Daemon:
    # When MariaDB starts, it deletes the temporary tables of all other servers that share its tmpdir.
    (directory / "tables").mkdir()
    places = [f"--datadir={directory}/data", f"--tmpdir={directory}/tables"]
    options = ["--no-defaults", *places, "--innodb-log-file-size=8M"]
    if os.geteuid() == 0:
        options.append("--user=root")
    install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", *first]
    subprocess.run(install, check=True, capture_output=True)
    program = shutil.which("mariadbd", path=_PATH) or "mariadbd"
    with (directory / "log").open("wb") as log:
        serve = [program, *options, f"--socket={directory}/sock", *extra]
        return Daemon(subprocess.Popen(serve, stdout=log, stderr=subprocess.STDOUT, start_new_session=True))


@contextlib.contextmanager
def php_web(root: Path) -> Iterator[str]:
    """Run PHP's web server for a hosting root; yields its `host:port`."""
    require("php")
    daemon, address = _php_daemon(root)
    try:
        yield address
    finally:
        daemon.stop()


def _php_daemon(root: Path) -> tuple[Daemon, str]:
    for _ in range(20):
        address = f"127.0.0.1:{free_port()}"
        process = subprocess.Popen(
            ["php", "-d", "display_errors=stderr", "-S", address, "-t", str(root), str(_ROUTER)],
            env={**os.environ, "PHP_CLI_SERVER_WORKERS": "4"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        daemon = Daemon(process)
        # Another program may have taken the port in the meantime; then PHP exits, and another port is tried.
        eventually(lambda process=process, address=address: process.poll() is not None or _accepts(address))  # type: ignore[misc]
        if process.poll() is None:
            return daemon, address
    raise AssertionError("no free port")


def _accepts(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(HostPort.parse(address), 1):
        return True
    return False
