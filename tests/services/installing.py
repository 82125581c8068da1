"""All it takes to install on a real web host: a private MariaDB, PHP's web server, jobs, and a browser."""

import contextlib
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from nacl.encoding import Base64Encoder
from nacl.public import PrivateKey, PublicKey, SealedBox

import sitecrew.stack.web
from foundation.hosting import AccountRequest
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import install_id
from services.installer.sites import Job, SiteInstaller, Step

ROUTER = Path(sitecrew.stack.web.__file__).with_name("router.php")
KEY = PrivateKey.generate()
"""The mailer's."""
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # Debian keeps daemons out of users' PATH
_ROOM = 4 * 1024**3


def require(*programs: str) -> None:
    """Skip the test if a program is missing; in CI that is a failure."""
    missing = [name for name in programs if shutil.which(name, path=_PATH) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for a condition; fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory if the machine has room there: ext4 grows slow for minutes when big trees are deleted.

    Its path is short, too: a socket's may have 107 letters, which pytest's own directories often exceed.
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
    """A server of ours in a session of its own."""

    process: subprocess.Popen[bytes]

    def freeze(self) -> None:
        """Let it take connections and answer none."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def stop(self) -> None:
        """End it and its children; no error if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextlib.contextmanager
def mariadb() -> Iterator[tuple[MariaDatabases, Daemon]]:
    """A private database server, and the way to stop it early."""
    require("mariadb-install-db", "mariadbd")
    with scratch() as directory:
        daemon = _mariadb_daemon(directory)
        try:
            eventually((directory / "sock").exists)
            yield MariaDatabases(user="root", socket=directory / "sock"), daemon
        finally:
            daemon.stop()


def _mariadb_daemon(directory: Path) -> Daemon:
    # A MariaDB that starts deletes the temporary tables of every other one that shares its directory for them.
    (directory / "tables").mkdir()
    places = [f"--datadir={directory}/data", f"--tmpdir={directory}/tables"]
    options = ["--no-defaults", *places, "--innodb-log-file-size=8M"]
    if os.geteuid() == 0:
        options.append("--user=root")
    install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    program = shutil.which("mariadbd", path=_PATH) or "mariadbd"
    with (directory / "log").open("wb") as log:
        serve = [program, *options, f"--socket={directory}/sock", "--skip-networking"]
        return Daemon(subprocess.Popen(serve, stdout=log, stderr=subprocess.STDOUT, start_new_session=True))


@contextlib.contextmanager
def php_web(root: Path) -> Iterator[str]:
    """PHP's web server for a hosting root; yields its `host:port`."""
    require("php")
    daemon, address = _php_daemon(root)
    try:
        yield address
    finally:
        daemon.stop()


def _php_daemon(root: Path) -> tuple[Daemon, str]:
    for _ in range(20):
        address = f"127.0.0.1:{_free_port()}"
        process = subprocess.Popen(
            ["php", "-d", "display_errors=stderr", "-S", address, "-t", str(root), str(ROUTER)],
            env={**os.environ, "PHP_CLI_SERVER_WORKERS": "4"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        daemon = Daemon(process)
        # Somebody may have taken the port in the meantime; then PHP ends, and another port is tried.
        eventually(lambda process=process, address=address: process.poll() is not None or _accepts(address))  # type: ignore[misc]
        if process.poll() is None:
            return daemon, address
    raise AssertionError("no free port")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(address: str) -> bool:
    host, _, port = address.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


def local_server(root: Path, web_address: str, databases: MariaDatabases | None) -> LocalServer:
    """The hosting server whose accounts are under `root`."""
    host, _, port = web_address.partition(":")
    return LocalServer(
        name="one", root=root, address=host, web_address=web_address, public_port=int(port), databases=databases
    )


def new_job(server: LocalServer, *, own_domain: bool = False, title: str = 'A & B\'s "first" site') -> Job:
    """An account that did not exist, and the first install for it."""
    username = f"u{secrets.token_hex(4)}"
    domain = f"{username}.example"
    server.create_account(AccountRequest(username, domain, "ann@example.org", marker=username, password="x" * 20))
    return Job(
        install_id=install_id(username, 1),
        order_id=username,
        generation=1,
        fence=1,
        username=username,
        domain=domain,
        url=server.domain_url(domain) if own_domain else server.temporary_url(username),
        title=title,
        admin_email="ann@example.org",
        seal=partial(seal, bytes(KEY.public_key)),
        deadline=datetime.now(UTC) + timedelta(seconds=60),
    )


def claimed_again(job: Job) -> Job:
    """The same install, after its first worker was given up."""
    return replace(job, fence=job.fence + 1)


def reinstall(job: Job, **changes: str) -> Job:
    """The order's next generation, whose fence begins again."""
    generation = job.generation + 1
    named = replace(job, generation=generation, fence=1, install_id=install_id(job.order_id, generation))
    return replace(named, **changes)  # type: ignore[arg-type]


def seal(public_key: bytes, secret: str) -> str:
    """As the runtime seals; top-level, so that a job can be sent to another process."""
    return SealedBox(PublicKey(public_key)).encrypt(secret.encode(), Base64Encoder).decode()


def unseal(sealed: str | None) -> str:
    """What only the mailer can."""
    assert sealed is not None
    return SealedBox(KEY).decrypt(sealed.encode(), Base64Encoder).decode()


@contextlib.contextmanager
def quietly(_: str) -> Iterator[None]:
    """A step that nobody watches."""
    yield


def at_step(name: str, action: Callable[[], object]) -> Step:
    """Steps that nobody watches, but for an action where one of them begins."""

    @contextlib.contextmanager
    def step(current: str) -> Iterator[None]:
        if current == name:
            action()
        yield

    return step


def killed_at(name: str, installer: SiteInstaller, job: Job, server: LocalServer) -> None:
    """Install in a process of its own, which dies by SIGKILL where the step begins."""
    process = multiprocessing.get_context("spawn").Process(target=_doomed, args=(name, installer, job, server))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def _doomed(name: str, installer: SiteInstaller, job: Job, server: LocalServer) -> None:
    installer.install(job, server, at_step(name, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def leftovers(server: LocalServer, username: str) -> list[str]:
    """What is in the account's home beside what belongs there."""
    return sorted(path.name for path in server.home(username).iterdir() if path.name not in {"www", "private"})


def browser(web_address: str) -> httpx.Client:
    """A browser for which every name leads to `web_address`, as if DNS were ready."""
    wire = httpx.HTTPTransport()

    def send(request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(netloc=web_address.encode())
        return wire.handle_request(httpx.Request(request.method, url, headers=request.headers, content=request.content))

    return httpx.Client(transport=httpx.MockTransport(send), follow_redirects=True, timeout=30)


def logs_in(web_address: str, login_url: str | None, username: str | None, password: str) -> bool:
    """Whether the credentials lead to WordPress's dashboard. A wrong login answers 200 too: only the end tells."""
    assert login_url is not None
    with browser(web_address) as visitor:
        visitor.get(login_url)
        form = {"log": username, "pwd": password, "wp-submit": "Log In", "testcookie": "1"}
        page = visitor.post(login_url, data=form)
    return page.url.path.endswith("/wp-admin/") and 'id="dashboard-widgets' in page.text
