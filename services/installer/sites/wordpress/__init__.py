"""WordPress: staged beside the document root, installed by its own `wp_install`, served only when complete."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from foundation.hosting import Database, Server
from foundation.hosting.disk import write_new
from foundation.passwords import generated
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.deployment import Built, Plan, Site, databases_of, live
from services.installer.sites.docroot.runs import database_prefix
from services.installer.sites.programs import USUAL, Limits
from services.installer.sites.programs.php import Php, Told
from services.installer.sites.verification.probe import Probe
from services.installer.sites.verification.trial import trial_job, try_build, try_database
from services.installer.sites.verification.verify import Page, shows
from services.installer.sites.wordpress.config import write_config
from services.installer.sites.wordpress.core import check_core, copy_core, language_of

_QUIET, _INSTALL, _RENDER = (Path(__file__).with_name(f"{name}.php") for name in ("quiet", "install", "render"))
_EXTENSIONS = ("json", "mysqli")
_ORDERED = "; if the home page answers, the permalinks are wrong, or the web server does not route them to WordPress"
_LOGIN_FORM = 'id="loginform"'


@dataclass(frozen=True)
class _Filled:
    """What `install.php` read back from the new database."""

    version: str
    title: str
    """The title as pages show it: WordPress beautifies quotes and dashes."""
    sealed_password: str
    pages: tuple[str, ...]
    """URLs that only answer if the web server routes what is not a file to WordPress."""
    rewriting: str
    """Apache's configuration for that; empty if the URLs need none."""


@dataclass(kw_only=True)
class WordPress:
    """Satisfies `SiteInstaller` for WordPress."""

    core: Path = Path("/usr/share/wordpress")
    """WordPress's files, unpacked; Debian's package puts them here."""
    php: str = "php"
    limits: Limits = USUAL
    """The limits of one PHP process."""
    isolated: bool = False
    """Write DISABLE_WP_CRON and WP_HTTP_BLOCK_EXTERNAL into the sites: for demonstrations and machines without
    Internet access. A customer's site needs both for scheduled posts and security updates."""
    locale: str | None = None
    """For orders without one; so are the next two."""
    timezone: str | None = None
    permalinks: str | None = None
    space: int = 150 * 1024 * 1024
    """Bytes that must be free before an install begins."""
    inodes: int = 5_000
    """Inodes that must be free before an install begins."""

    def check(self, server: Server) -> None:
        """See `SiteInstaller`. Raises `Failed`: core_missing, php_missing, php_ext, db_unset, db_*."""
        databases_of(server).names(database_prefix("check"))
        check_core(self.core)
        self._interpreter.require(_EXTENSIONS)

    def rehearse(self, server: Server) -> None:
        """What `check` does, and what an install does before it serves a site, as the same user with the same PHP."""
        job = self._wished(trial_job(server))
        plan = self._plan(job, server)
        try_database(server, self._interpreter, partial(write_config, isolated=self.isolated))
        try_build(server, job, plan)

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """See `SiteInstaller`. Raises `Failed` with any cause of `services.installer.sites.causes`."""

        job = self._wished(job)
        return live(job, server, step, lambda: self._plan(job, server))

    def _wished(self, job: Job) -> Job:
        return replace(
            job,
            locale=job.locale or self.locale,
            timezone=job.timezone or self.timezone,
            permalinks=job.permalinks or self.permalinks,
        )

    def _plan(self, job: Job, server: Server) -> Plan:
        self.check(server)
        language_of(self.core, job.locale)
        return Plan(self.space, self.inodes, self._build)

    def _build(self, site: Site) -> Built:
        language = language_of(self.core, site.job.locale)
        with site.step("stage"):
            copy_core(self.core, site.stage, language)
        database = site.database()
        with site.step("config"):
            https = site.job.url.startswith("https:")
            write_config(site.stage, database, isolated=self.isolated, https=https)
            probe = Probe.put(site.stage)
        # The tree is not the customer's yet: no process of his can put code of its own into what we run here.
        with site.step("install"):
            filled = self._fill(site, database, language)
            if filled.rewriting:
                rules = f"# BEGIN WordPress\n{filled.rewriting.strip()}\n# END WordPress\n"
                write_new(site.stage / ".htaccess", rules, 0o640)
        with site.step("render"):
            self._render(site, database, filled.title)
            site.docroot.hand_over(site.stage)
        url = site.job.url
        return Built(
            application="WordPress",
            version=filled.version,
            pages=(
                Page(url, (filled.title,)),
                Page(f"{url}wp-login.php", (_LOGIN_FORM,)),
                *(Page(address, (filled.title,), hint=_ORDERED) for address in filled.pages),
            ),
            probe=probe,
            login_url=f"{url}wp-login.php",
            username=site.job.username,
            sealed_password=filled.sealed_password,
            database=database.name,
        )

    @property
    def _interpreter(self) -> Php:
        return Php(self.php, self.limits)

    def _fill(self, site: Site, database: Database, language: str) -> _Filled:
        """Run `wp_install` with a password that only this method knows until it is sealed."""
        job = site.job
        # None of its letters is changed by WordPress, which hashes passwords with slashes added.
        password = generated()
        sealed = job.seal(password)
        order = {
            "path": str(site.stage),
            "url": job.url.rstrip("/"),
            "title": job.title,
            "username": job.username,
            "password": password,
            "email": job.admin_email,
            "locale": language,
            "timezone": job.timezone or "",
            "permalinks": job.permalinks or "",
        }
        told = self._run(_INSTALL, order, site)
        match told.answer:
            case {
                "ok": True,
                "version": str(version),
                "title": str(title),
                "pages": list(pages),
                "rewriting": str(rules),
            }:
                # By the same rules as the pages that it will be looked for in: PHP reads `&#128;` in another way.
                return _Filled(version, html.unescape(title), sealed, tuple(map(str, pages)), rules)
        raise told.why(_where(database), (password, database.password))

    def _render(self, site: Site, database: Database, title: str) -> None:
        """Raise `Failed` (php_fatal, ...) unless the staged home page renders and shows the title."""
        order = {"path": str(site.stage), "url": site.job.url.rstrip("/")}
        told = self._run(_RENDER, order, site)
        if told.ran.exit_code != 0 or not shows(told.ran.stdout, title):
            raise told.why(_where(database), (database.password,))

    def _run(self, script: Path, order: Mapping[str, object], site: Site) -> Told:
        return self._interpreter.run((_QUIET, script), order, deadline=site.job.deadline, owner=site.docroot.owner())


def _where(database: Database) -> str:
    """The subject of database errors, few of which name the server."""
    return f"WordPress with its database at {database.host}"
