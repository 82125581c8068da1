"""WordPress step by step: its files copied, its database filled by its own `wp_install`, its home page rendered."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.hosting import Database
from foundation.hosting.disk import write_new
from foundation.passwords import generated, without
from services.installer.sites.causes import failed
from services.installer.sites.deployment import Built, Site
from services.installer.sites.programs.php import Php, Told
from services.installer.sites.verification.probe import Probe
from services.installer.sites.verification.verify import shows
from services.installer.sites.wordpress.built import built
from services.installer.sites.wordpress.config import write_config
from services.installer.sites.wordpress.core import copy_core, language_of
from services.installer.sites.wordpress.extras import Extras
from services.installer.sites.wordpress.image.hashing import portable_hash

_QUIET, _TELL, _INSTALL, _EXTRAS, _RENDER = (
    Path(__file__).with_name(f"{name}.php") for name in ("quiet", "tell", "install", "extras", "render")
)


@dataclass(frozen=True)
class Filled:
    """A site whose tree and database are complete, and what `install.php` read back from the database."""

    database: Database
    version: str
    title: str
    """The title as pages show it: WordPress beautifies quotes and dashes."""
    sealed_password: str
    pages: tuple[str, ...]
    """URLs that only answer if the web server routes what is not a file to WordPress."""
    htaccess: str
    """Apache's configuration for that; empty if the URLs need none."""


@dataclass(frozen=True)
class InSteps:
    """Builds sites from the files in `core`."""

    core: Path
    php: Php
    isolated: bool
    extras: Extras

    def build(self, site: Site) -> Built:
        """A site that is its owner's. Raises `Failed`."""
        filled = self.fill(site)
        probe = Probe.put(site.stage)
        with site.step("render"):
            self.render(site, filled)
            site.docroot.hand_over(site.stage)
        return built(
            site,
            filled.database.name,
            probe,
            version=filled.version,
            title=filled.title,
            routed=filled.pages,
            sealed_password=filled.sealed_password,
        )

    def fill(self, site: Site, *, tried: bool = False) -> Filled:
        """A site that is complete, and still ours: no process of its owner can put code of its own into what we run.

        `tried`: whether WordPress must also accept a hash of our own making. Raises `Failed`.
        """
        language = language_of(self.core, site.job.locale)
        with site.step("stage"):
            copy_core(self.core, site.stage, language)
        database = site.database()
        with site.step("config"):
            https = site.job.url.startswith("https:")
            write_config(site.stage, database, isolated=self.isolated, https=https)
        with site.step("install"):
            filled = self._install(site, database, language, tried=tried)
        if self.extras:
            with site.step("extras"):
                filled = self.extend(site, filled)
        if filled.htaccess:
            write_new(site.stage / ".htaccess", filled.htaccess, 0o640)
        return filled

    def extend(self, site: Site, filled: Filled) -> Filled:
        """Add the extras. Raises `Failed`."""
        self.extras.copy_into(site.stage)
        told = self._run(_EXTRAS, {**_asked(site), **self.extras.order()}, site)
        return _filled(told, filled.database, filled.sealed_password, (filled.database.password,))

    def render(self, site: Site, filled: Filled) -> None:
        """Raise `Failed` (php_fatal, ...) unless the staged home page renders and shows the title."""
        told = self._run(_RENDER, _asked(site), site)
        if told.ran.exit_code != 0 or not shows(told.ran.stdout, filled.title):
            raise told.why(_where(filled.database), (filled.database.password,))

    def _install(self, site: Site, database: Database, language: str, *, tried: bool) -> Filled:
        """Run `wp_install` with a password that only this method knows until it is sealed."""
        job = site.job
        # None of its letters is changed by WordPress, which hashes passwords with slashes added.
        password = generated()
        sealed = job.seal(password)
        order = _asked(site) | {
            "title": job.title,
            "username": job.username,
            "password": password,
            "hash": portable_hash(password) if tried else "",
            "email": job.admin_email,
            "locale": language,
            "timezone": job.timezone or "",
        }
        return _filled(self._run(_INSTALL, order, site), database, sealed, (password, database.password))

    def _run(self, script: Path, order: Mapping[str, object], site: Site) -> Told:
        return self.php.run((_QUIET, _TELL, script), order, deadline=site.job.deadline, owner=site.docroot.owner())


def _asked(site: Site) -> dict[str, object]:
    """What each script is told."""
    job = site.job
    return {"path": str(site.stage), "url": job.url.rstrip("/"), "permalinks": job.permalinks or ""}


def _filled(told: Told, database: Database, sealed_password: str, secrets: Sequence[str]) -> Filled:
    """The site as the script tells of it. Raises `Failed` if it does not."""
    match told.answer:
        case {"ok": True, "version": str(version), "title": str(title), "pages": list(pages), "rewriting": str(rules)}:
            # By the same rules as the pages that it will be looked for in: PHP reads `&#128;` in another way.
            shown, routed = html.unescape(title), tuple(map(str, pages))
            htaccess = f"# BEGIN WordPress\n{rules.strip()}\n# END WordPress\n" if rules else ""
            return Filled(database, version, shown, sealed_password, routed, htaccess)
        case {"ok": False, "cause": str(code), "detail": str(detail)}:
            raise failed(code, without(secrets, detail))
    raise told.why(_where(database), secrets)


def _where(database: Database) -> str:
    """The subject of database errors, few of which name the server."""
    return f"WordPress with its database at {database.host}"
