"""Site installers, one per kind of site, all behind `SiteInstaller`."""

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

    `fence` increases with every claim of the install. Whatever is created before the install is done
    has the fence in its name, so an earlier worker that is still running unnoticed neither gets in its
    successor's way nor can put its own work in place.
    """

    install_id: str
    order_id: str
    generation: int
    fence: int
    username: str
    domain: str
    url: str
    """The URL at which the site will answer; ends with a slash."""
    title: str
    admin_email: str
    """The customer's email address, with its domain in ASCII. If the application cannot store it unchanged, the install
    fails with `email_unsupported`: anyone who reads the administrator's mail can take over the site."""
    seal: Callable[[str], str]
    """Seals a secret to the mailer at once; the clear text is then forgotten."""
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    """Further names of the site, such as `www.` of its domain."""
    deadline: datetime
    """UTC, by this machine's clock, which may differ from the database's; an install that is not done by then fails
    with `timeout`."""
    locale: str | None = None
    """Such as `de_DE`; None, as for the next two: the application's default."""
    timezone: str | None = None
    """Such as `Europe/Berlin`."""
    permalinks: str | None = None
    """The structure of the site's URLs, such as `/%postname%/`."""
    keep: tuple[str, ...] = KEEP
    """Patterns of names at the top of the document root that do not belong to the site, and are always kept."""
    replace: tuple[str, ...] = ()
    """Patterns of names there that a first install may replace, such as a panel's placeholder."""


@dataclass(frozen=True)
class InstalledSite:
    """A site that was verified over HTTP."""

    application: str
    version: str
    url: str
    login_url: str | None = None
    username: str | None = None
    sealed_password: str | None = None
    adopted: bool = False
    """Whether an earlier run of the same install had finished it before it could report so."""


class SiteInstaller(Protocol):
    """Installs one type of site into an existing hosting account."""

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """Install and verify over HTTP. Idempotent: if this install (same `install_id`) is already
        in place, returns the result from its marker; anything less is rolled back and started over.
        Until the new site is verified, an older generation stays in place. Raises `Failed` with the
        cause."""

    def check(self, server: Server) -> None:
        """Raise `Failed` if this machine lacks what the installer needs (PHP, an extension, ...). Must be quick: every
        install may call it. If there is a method `rehearse(server)`, the doctor calls that instead: it may take
        seconds, and tries what an install does."""
