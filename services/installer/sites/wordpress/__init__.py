"""WordPress: staged beside the document root, installed by its own `wp_install`, shown only when it is whole."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from foundation.errors import Failed
from foundation.hosting import Database, Databases, Server
from foundation.hosting.databases import failure
from foundation.hosting.disk import require_room
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.causes import failed
from services.installer.sites.docroot import Docroot
from services.installer.sites.exchange import sync_disk
from services.installer.sites.markers import SiteMarker
from services.installer.sites.php import Php, Ran
from services.installer.sites.runs import database_prefix
from services.installer.sites.verify import Page, shows, verify
from services.installer.sites.wordpress.config import write_config
from services.installer.sites.wordpress.core import check_core, copy_core
from services.installer.sites.wordpress.probe import Probe

_INSTALL = Path(__file__).with_name("install.php")
_RENDER = Path(__file__).with_name("render.php")
_EXTENSIONS = ("json", "mysqli")
_LOGIN_FORM = 'id="loginform"'


@dataclass(frozen=True)
class _Filled:
    """What `install.php` read back from the new database."""

    version: str
    title: str
    """As pages show it: WordPress beautifies quotes and dashes."""
    sealed_password: str


@dataclass(kw_only=True)
class WordPress:
    """Satisfies `SiteInstaller` for WordPress."""

    site_type: str = field(default="wordpress", init=False)
    core: Path = Path("/usr/share/wordpress")
    """WordPress's files, unpacked; Debian's package puts them here."""
    php: str = "php"
    php_seconds: float = 60.0
    """The longest that one PHP process may take."""
    isolated: bool = False
    """Write DISABLE_WP_CRON and WP_HTTP_BLOCK_EXTERNAL into the sites: for demonstrations and machines without a
    way out. A customer's site needs both kinds of work for its scheduled posts and its security updates."""
    space: int = 150 * 1024 * 1024
    """Bytes that must be free before an install begins."""
    inodes: int = 5_000
    """Inodes that must be free before an install begins."""

    def check(self, server: Server) -> None:
        """See `SiteInstaller`. Raises `Failed`: core_missing, php_missing, php_ext, db_unset, db_*."""
        self._databases(server).names(database_prefix("check"))
        check_core(self.core)
        self._interpreter.require(_EXTENSIONS)

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """See `SiteInstaller`. Raises `Failed` with any cause of `services.installer.sites.causes`."""
        docroot = Docroot.of(job, server)
        with step("preflight"):
            if (done := docroot.begin()) is not None:
                return done
            self.check(server)
            require_room(docroot.home, self.space, self.inodes)
        with docroot.building() as stage:
            with step("stage"):
                copy_core(self.core, stage)
            with step("database"):
                database = self._databases(server).create(docroot.run.database(job.username))
            with step("config"):
                write_config(stage, database, isolated=self.isolated)
                probe = Probe.put(stage)
                docroot.hand_over(stage)
            with step("install"):
                filled = self._fill(job, docroot, stage, database)
            with step("render"):
                self._render(job, docroot, stage, filled.title)
            with step("sync"):
                sync_disk(stage)
            marker = _marker(job, docroot, database, filled)
            docroot.go_live(stage, marker, lambda: _verify(job, server, docroot, probe, filled.title), step)
        return marker.site(adopted=False)

    @property
    def _interpreter(self) -> Php:
        return Php(self.php, self.php_seconds)

    def _databases(self, server: Server) -> Databases:
        if server.databases is None:
            raise failed("db_unset", f"server {server.name} has no database server")
        return server.databases

    def _fill(self, job: Job, docroot: Docroot, stage: Path, database: Database) -> _Filled:
        """Run `wp_install` with a password that only this method knows, until it is sealed."""
        # No letter of token_urlsafe is changed by WordPress, which hashes passwords with slashes added.
        password = secrets.token_urlsafe(18)
        sealed = job.seal(password)
        order = {
            "path": str(stage),
            "url": job.url.rstrip("/"),
            "title": job.title,
            "username": job.username,
            "password": password,
            "email": job.admin_email,
        }
        ran = self._interpreter.run(_INSTALL, order, deadline=job.deadline, owner=docroot.owner())
        match ran.answer():
            case {"ok": True, "version": str(version), "title": str(title)} if ran.exit_code == 0:
                return _Filled(version, title, sealed)
        raise _why(ran, (password, database.password))

    def _render(self, job: Job, docroot: Docroot, stage: Path, title: str) -> None:
        """Raise `Failed` (php_fatal, ...) unless the staged home page renders and shows the title."""
        order = {"path": str(stage), "url": job.url.rstrip("/")}
        ran = self._interpreter.run(_RENDER, order, deadline=job.deadline, owner=docroot.owner())
        if ran.exit_code != 0 or not shows(ran.stdout, title):
            raise _why(ran, ())


def _why(ran: Ran, secret: tuple[str, ...]) -> Failed:
    """The cause of a script's failure: the database's, if it names an error number of it, else PHP's."""
    match ran.answer():
        case {"ok": False, "errno": int(errno), "error": str(error)} if errno:
            return failure(errno, error, "WordPress")
    return failed("php_fatal", ran.complaint(secret))


def _marker(job: Job, docroot: Docroot, database: Database, filled: _Filled) -> SiteMarker:
    return SiteMarker(
        install_id=job.install_id,
        run=docroot.run,
        application="WordPress",
        version=filled.version,
        url=job.url,
        login_url=f"{job.url}wp-login.php",
        username=job.username,
        sealed_password=filled.sealed_password,
        database=database.name,
    )


def _verify(job: Job, server: Server, docroot: Docroot, probe: Probe, title: str) -> None:
    pages = (probe.page(job.url), Page(job.url, title), Page(f"{job.url}wp-login.php", _LOGIN_FORM))
    verify(server.web_address, pages, job.deadline)
    probe.remove(docroot.www)
