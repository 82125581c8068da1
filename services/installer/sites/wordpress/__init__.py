"""WordPress: staged beside the document root, served only when complete.

It is installed by its own `wp_install`, or, where that would make nothing but the same again, copied from an image
(see `image`). What goes to a site's owner is verified in the same way.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from foundation.errors import Failed
from foundation.hosting import Server
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.deployment import Built, Plan, Site, databases_of, live
from services.installer.sites.docroot.runs import database_prefix
from services.installer.sites.programs import USUAL, Limits
from services.installer.sites.programs.php import Php
from services.installer.sites.verification.trial import trial_job, try_build, try_database
from services.installer.sites.wordpress.config import write_config
from services.installer.sites.wordpress.copying import Copying
from services.installer.sites.wordpress.core import check_core, language_of
from services.installer.sites.wordpress.extras import NO_EXTRAS, Extras
from services.installer.sites.wordpress.image.shelf import Shelf
from services.installer.sites.wordpress.steps import InSteps

_EXTENSIONS = ("json", "mysqli")


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
    images: Path | None = None
    """The directory of images; None: every site is installed step by step."""
    extras: Extras = NO_EXTRAS
    """What each site gets beside WordPress."""
    _checked: set[str] = field(default_factory=set, init=False)
    """The servers that had everything when we last looked, which is before the first install and after each failure."""

    def check(self, server: Server) -> None:
        """See `SiteInstaller`. Raises `Failed`: core_missing, php_missing, php_ext, db_unset, db_*,
        and what `Extras.require` raises."""
        databases_of(server).names(database_prefix("check"))
        check_core(self.core)
        self.extras.require(self.core)
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
        try:
            return live(job, server, step, lambda: self._plan(job, server))
        except Failed:
            self._checked.discard(server.name)
            raise

    def _wished(self, job: Job) -> Job:
        return replace(
            job,
            locale=job.locale or self.locale,
            timezone=job.timezone or self.timezone,
            permalinks=job.permalinks or self.permalinks,
        )

    def _plan(self, job: Job, server: Server) -> Plan:
        if server.name not in self._checked:
            self.check(server)
            self._checked.add(server.name)
        language_of(self.core, job.locale)
        space, inodes = self.extras.require(self.core)

        def build(site: Site) -> Built:
            copied = self._copying.build(site, plan) if self._copying else None
            return copied or self._in_steps.build(site)

        plan = Plan(self.space + space, self.inodes + inodes, build)
        return plan

    @cached_property
    def _in_steps(self) -> InSteps:
        return InSteps(self.core, self._interpreter, isolated=self.isolated, extras=self.extras)

    @cached_property
    def _copying(self) -> Copying | None:
        if self.images is None:
            return None
        return Copying(Shelf(self.images, self._in_steps), isolated=self.isolated)

    @property
    def _interpreter(self) -> Php:
        return Php(self.php, self.limits)
