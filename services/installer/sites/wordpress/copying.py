"""WordPress as a copy of an image: files and database as `wp_install` left them once, with the order's own values."""

from dataclasses import dataclass

import structlog

from foundation.hosting.disk import write_new
from foundation.passwords import generated
from services.installer.sites.deployment import Built, Plan, Site
from services.installer.sites.verification.probe import Probe
from services.installer.sites.wordpress.built import built
from services.installer.sites.wordpress.config import write_config
from services.installer.sites.wordpress.image import Image, Outdated
from services.installer.sites.wordpress.image.fitting import require_fitting
from services.installer.sites.wordpress.image.shelf import Shelf
from services.installer.sites.wordpress.image.templates import Unfit

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Copying:
    """Builds sites from the images of a shelf."""

    shelf: Shelf
    isolated: bool

    def build(self, site: Site, plan: Plan) -> Built | None:
        """A site that is its owner's; None if it has to be installed step by step, which the log explains.

        Raises `Failed`: disk_full, disk_denied, db_*.
        """
        try:
            require_fitting(site.job)
            with site.step("image"):
                image = self.shelf.image(site.job, site.server, plan)
            try:
                return self._copied(image, site)
            except Outdated as outdated:
                self.shelf.discard(site.job, site.server, image, str(outdated))
                raise
        except Unfit as unfit:
            _log.info("image.not_used", install_id=site.job.install_id, reason=str(unfit))
            return None

    def _copied(self, image: Image, site: Site) -> Built:
        job, owner = site.job, site.docroot.owner()
        password = generated()
        sealed = job.seal(password)
        database = site.database()
        with site.step("stage"), image.filling(database, job, password):
            image.unpack(site.stage, owner)
        with site.step("config"):
            write_config(site.stage, database, isolated=self.isolated, https=job.url.startswith("https:"), owner=owner)
            if rules := image.htaccess(job):
                write_new(site.stage / ".htaccess", rules, 0o640, owner)
            probe = Probe.put(site.stage, owner)
        site.docroot.hand_over_top(site.stage)
        return built(
            site,
            database.name,
            probe,
            version=image.facts.version,
            title=job.title,
            routed=image.pages(job),
            sealed_password=sealed,
        )
