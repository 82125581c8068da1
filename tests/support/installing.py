"""Steps for tests of installers: order, install, die in the middle, look at the site and log in to it."""

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx2
from nacl.encoding import Base64Encoder
from nacl.public import PrivateKey, PublicKey, SealedBox

from foundation.addresses import HostPort
from foundation.hosting import AccountRequest
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import install_id
from services.installer.sites import InstalledSite, Job, SiteInstaller, Step
from services.installer.sites.docroot import trash
from tests.support import forked

KEY = PrivateKey.generate()
"""The mailer's key pair."""


def local_server(root: Path, web_address: str, databases: MariaDatabases | None) -> LocalServer:
    """Create the hosting server whose accounts are under `root`."""
    host, port = HostPort.parse(web_address)
    return LocalServer(
        name="one", root=root, address=host, web_address=web_address, public_port=port, databases=databases
    )


def new_job(server: LocalServer, *, own_domain: bool = False, title: str = 'A & B\'s "first" site') -> Job:
    """Create an account, and the job of its first install."""
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
        deadline=datetime.now(UTC) + timedelta(seconds=600),
    )


def claimed_again(job: Job) -> Job:
    """Return the job of the same install after its first worker was lost."""
    return replace(job, fence=job.fence + 1)


def reinstall(job: Job, **changes: str) -> Job:
    """Return the job of the order's next generation, with a new fence."""
    generation = job.generation + 1
    named = replace(job, generation=generation, fence=1, install_id=install_id(job.order_id, generation))
    return replace(named, **changes)  # type: ignore[arg-type]


def seal(public_key: bytes, secret: str) -> str:
    """Seal like the service; at module level, so that a job can be sent to another process."""
    return SealedBox(PublicKey(public_key)).encrypt(secret.encode(), Base64Encoder).decode()


def unseal(sealed: str | None) -> str:
    """Open a secret, as only the mailer can."""
    assert sealed is not None
    return SealedBox(KEY).decrypt(sealed.encode(), Base64Encoder).decode()


@contextlib.contextmanager
def quietly(_: str) -> Iterator[None]:
    """A step that does nothing."""
    yield


def at_step(name: str, action: Callable[[], object]) -> Step:
    """Return steps that do nothing, except for an action when one of them begins."""

    @contextlib.contextmanager
    def step(current: str) -> Iterator[None]:
        if current == name:
            action()
        yield

    return step


def killed_at(name: str, installer: SiteInstaller, job: Job, server: LocalServer) -> None:
    """Install in a separate process, which is killed by SIGKILL when the step begins; at none, by what it runs."""
    process = forked.CONTEXT.Process(target=_doomed, args=(name, installer, job, server))
    process.start()
    process.join(200)
    assert process.exitcode == -signal.SIGKILL


def _doomed(name: str, installer: SiteInstaller, job: Job, server: LocalServer) -> None:
    installer.install(job, server, at_step(name, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def leftovers(server: LocalServer, username: str) -> list[str]:
    """Return what is left over in the account's home once deleted files are gone."""
    trash.wait()
    return sorted(path.name for path in server.home(username).iterdir() if path.name not in {"www", "private"})


def browser(web_address: str) -> httpx2.Client:
    """Return a browser that resolves every name to `web_address`, as if DNS were set up."""
    wire = httpx2.HTTPTransport()

    def send(request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_with(netloc=web_address.encode())
        sent = httpx2.Request(request.method, url, headers=request.headers, content=request.content)
        return wire.handle_request(sent)

    return httpx2.Client(transport=httpx2.MockTransport(send), follow_redirects=True, timeout=30)


def logs_in(web_address: str, login_url: str | None, username: str | None, password: str) -> bool:
    """Whether the credentials lead to WordPress's dashboard. A failed login also answers 200, so look at the page."""
    assert login_url is not None
    with browser(web_address) as visitor:
        visitor.get(login_url)
        form = {"log": username, "pwd": password, "wp-submit": "Log In", "testcookie": "1"}
        page = visitor.post(login_url, data=form)
    return page.url.path.endswith("/wp-admin/") and 'id="dashboard-widgets' in page.text


def logs_in_to_dokuwiki(web_address: str, login_url: str | None, username: str | None, password: str) -> bool:
    """Whether DokuWiki logs the user in as an administrator. A failed login also answers 200."""
    assert login_url is not None
    with browser(web_address) as visitor:
        visitor.get(login_url)
        visitor.post(login_url, data={"do": "login", "u": username, "p": password})
        page = visitor.get(login_url.replace("do=login", "do=admin"))
    return 'class="user"' in page.text and "do=admin&amp;page=usermanager" in page.text


def opens(server: LocalServer, site: InstalledSite) -> bool:
    return logs_in(server.web_address, site.login_url, site.username, unseal(site.sealed_password))


def home_page(server: LocalServer, job: Job) -> str:
    with browser(server.web_address) as visitor:
        return visitor.get(job.url).raise_for_status().text


@contextlib.contextmanager
def polled(server: LocalServer, job: Job) -> Iterator[list[int]]:
    """Collect the status codes of a site's home page from before the block to after it."""
    statuses: list[int] = []
    done = threading.Event()

    def poll() -> None:
        with browser(server.web_address) as visitor:
            while not done.is_set():
                statuses.append(visitor.get(job.url).status_code)

    def wait_for_more() -> None:
        seen, give_up = len(statuses), time.monotonic() + 30
        while len(statuses) < seen + 2 and thread.is_alive() and time.monotonic() < give_up:
            time.sleep(0.01)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        wait_for_more()
        yield statuses
        wait_for_more()
    finally:
        done.set()
        thread.join(30)


def age(server: LocalServer, job: Job) -> None:
    """Backdate an install's files: PHP does not cache scripts that are younger than two seconds."""
    for tree in server.home(job.username).glob(".stage-*"):
        for script in tree.rglob("*.php"):
            os.utime(script, (1_000_000_000, 1_000_000_000))


def databases_of(server: LocalServer, job: Job) -> list[str]:
    assert server.databases is not None
    return server.databases.names(f"{job.username}_")


def assert_untouched(server: LocalServer, job: Job) -> None:
    """Assert that a failed first install has left nothing behind."""
    assert list((server.home(job.username) / "www").iterdir()) == []
    assert leftovers(server, job.username) == []


def only_at(script: str, action: str) -> str:
    """Return a shell script that runs PHP, but does `action` for one PHP script."""
    return f'case "$*" in *{script}*) {action};; esac; exec php "$@"'


def shim(directory: Path, script: str) -> str:
    """Write a program to run instead of PHP; return its path."""
    program = directory / "php-shim"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def telling_php(directory: Path) -> tuple[str, Path]:
    """Write a PHP that first saves its arguments and environment to a file; return both."""
    seen = directory / "seen"
    return shim(directory, f'printf "%s\\n" "$@" >> {seen}; env >> {seen}; exec php "$@"'), seen


def reinstalled_under_watch(server: LocalServer, installer: SiteInstaller) -> tuple[Job, InstalledSite, InstalledSite]:
    """Install and re-install while the home page keeps answering; return the job, the old site and the new one."""
    job = new_job(server)
    old = installer.install(job, server, quietly)
    with polled(server, job) as statuses:
        new = installer.install(reinstall(job), server, quietly)
    assert len(statuses) > 3
    assert set(statuses) == {200}
    return job, old, new


def ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie that has not been reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
