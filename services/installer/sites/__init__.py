"""Site installers: one kind of site each, all behind `SiteInstaller`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from foundation.config.settings import Site
from foundation.hosting import Server

KEEP = tuple(Site().keep)
Step = Callable[[str], AbstractContextManager[None]]
"""`with step("database"): ...` logs the step's beginning, end and duration in seconds."""


@dataclass(frozen=True)
class Job:
    """One install to carry out.

    `fence` grows with every claim of the install. Whatever an act creates before it is done bears
    the fence in its name, so an earlier worker that is still running unnoticed can neither be
    disturbed by its successor nor put its own work in place.
    """

    install_id: str
    order_id: str
    generation: int
    fence: int
    username: str
    domain: str
    url: str
    """Where the site will answer; ends with a slash."""
    title: str
    admin_email: str
    """The customer's mailbox, its domain in ASCII. An application that can't store it as it is ends the install
    with `email_unsupported`: whoever reads the administrator's mail can take over the site."""
    seal: Callable[[str], str]
    """Seals a secret to the mailer at once; the clear text is then forgotten."""
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    """Further names under which the site answers, like `www.` of its domain."""
    deadline: datetime
    """UTC, by this machine's clock, which is not always the store's; an install that is not done by then gives up with
    `timeout`."""
    locale: str | None = None
    """Like `de_DE`; None: as the application does by itself, and so are these two."""
    timezone: str | None = None
    """Like `Europe/Berlin`."""
    permalinks: str | None = None
    """The form of the addresses of a site's pages, like `/%postname%/`."""
    keep: tuple[str, ...] = KEEP
    """Patterns of names at the top of the document root that are not the site's, and stay whatever is installed."""
    replace: tuple[str, ...] = ()
    """Patterns of names there that a first install may replace, like a panel's placeholder."""


@dataclass(frozen=True)
class InstalledSite:
    """A site that answered over HTTP."""

    application: str
    version: str
    url: str
    login_url: str | None = None
    username: str | None = None
    sealed_password: str | None = None
    adopted: bool = False
    """True if an earlier run of the same install had finished it before it could say so."""


class SiteInstaller(Protocol):
    """Installs one type of site into an existing hosting account."""

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """Install and verify over HTTP. Idempotent: if this install (same `install_id`) is already
        in place, its marker is read and the same result returned; anything short of that is rolled
        back and begun afresh. Until verified, an older generation of the site stays in place.
        Raises `Failed` with the cause."""

    def check(self, server: Server) -> None:
        """Raise `Failed` if this machine lacks what the installer needs (PHP, an extension, ...). Quick: every install
        may ask. If there is a method `rehearse(server)`, the doctor calls that instead: it may take seconds, and tries
        what an install does."""
