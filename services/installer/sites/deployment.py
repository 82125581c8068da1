"""The deployment of a site of any type, from the first check to the verified site.

preflight   adopt the site if it is done; else shut out earlier runs, check for free space
(build)     depends on the site type: fill a tree beside the document root
swap, verify, marker, retire       see `docroot`
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from foundation.errors import Failed
from foundation.hosting import Database, Databases, Server
from foundation.hosting.disk import require_room
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.causes import failed
from services.installer.sites.docroot import Docroot
from services.installer.sites.docroot.markers import SiteMarker
from services.installer.sites.verification.probe import Probe
from services.installer.sites.verification.verify import Page, front_of, verify

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Site:
    """A site being built: `stage` is its tree, which no web server serves yet."""

    job: Job
    server: Server
    step: Step
    docroot: Docroot
    stage: Path
    secrets: list[str] = field(default_factory=list, repr=False)
    """Secrets to be masked when the site's answers are quoted."""

    def database(self) -> Database:
        """A new database of this run's own. Raises `Failed`: db_unset, db_*."""
        with self.step("database"):
            made = databases_of(self.server).create(self.docroot.run.database(self.job.username))
            self.secrets.append(made.password)
            return made


@dataclass(frozen=True, kw_only=True)
class Built:
    """A complete tree, and what must be true once it is served."""

    application: str
    version: str
    pages: tuple[Page, ...]
    """At least one page, each at a URL of the site."""
    probe: Probe | None = None
    """For applications in PHP: a page that is requested first."""
    login_url: str | None = None
    username: str | None = None
    sealed_password: str | None = None
    database: str | None = None
    """The name of the site's database; every other one of the account is dropped."""


@dataclass(frozen=True)
class Plan:
    """What will be built, and the bytes and inodes that must be free for it."""

    space: int
    inodes: int
    build: Callable[[Site], Built] = field(repr=False)


def live(job: Job, server: Server, step: Step, prepare: Callable[[], Plan]) -> InstalledSite:
    """Deploy a site. `prepare` raises `Failed` if what the site needs is missing; it is not called if the site is
    already done. Raises `Failed`, after which everything is as before."""
    docroot = Docroot.of(job, server)
    with step("preflight"):
        if (done := docroot.begin()) is not None:
            return done
        plan = prepare()
        require_room(docroot.home, plan.space, plan.inodes)
    with docroot.building() as stage:
        site = Site(job, server, step, docroot, stage)
        built = plan.build(site)
        marker = _marker(job, docroot, built)
        try:
            docroot.go_live(stage, marker, lambda: _verify(job, server, docroot, built, site.secrets), step)
        except Failed:
            if built.probe is not None:
                _refresh(job, server, docroot)
            raise
    return marker.site(adopted=False)


def databases_of(server: Server) -> Databases:
    """The server's databases. Raises `Failed` (db_unset) if it has none."""
    if server.databases is None:
        raise failed("db_unset", f"server {server.name} has no database server")
    return server.databases


def _refresh(job: Job, server: Server, docroot: Docroot) -> None:
    """Tell PHP that the older site is back: it may keep running the new one's scripts until it checks for changes."""
    try:
        if any(docroot.www.iterdir()):
            # The tree may be the customer's: a new file under a name that nobody can guess leads us nowhere.
            probe = Probe.put(docroot.www, docroot.owner())
            try:
                verify(front_of(server), (probe.page(job.url),), job.deadline)
            finally:
                probe.remove(docroot.www)
    except (Failed, OSError) as error:
        _log.warning("site.cache_kept", username=job.username, reason=str(error))


def _marker(job: Job, docroot: Docroot, built: Built) -> SiteMarker:
    return SiteMarker(
        install_id=job.install_id,
        run=docroot.run,
        application=built.application,
        version=built.version,
        url=job.url,
        login_url=built.login_url,
        username=built.username,
        sealed_password=built.sealed_password,
        database=built.database,
    )


def _verify(job: Job, server: Server, docroot: Docroot, built: Built, secrets: Iterable[str]) -> None:
    first = (built.probe.page(job.url),) if built.probe is not None else ()
    aliases = (built.pages[0].at(alias) for alias in job.aliases if urlsplit(job.url).hostname == job.domain)
    try:
        verify(front_of(server), (*first, *built.pages, *aliases), job.deadline, secrets)
    except Failed:
        if built.database is not None:
            databases_of(server).names(built.database)  # raises db_down if that is why
        raise
    if built.probe is not None:
        built.probe.remove(docroot.www)
