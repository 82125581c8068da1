"""A one-page placeholder, for domains whose owner brings the site later: no PHP, no database."""

from dataclasses import dataclass
from pathlib import Path

import jinja2

from foundation.hosting import Server
from foundation.hosting.disk import write_new
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.deployment import Built, Plan, Site, live
from services.installer.sites.verification.verify import Page

_TEMPLATE = Path(__file__).with_name("placeholder.html")
_VERSION = "1"
_SPACE = 1024 * 1024  # bytes
_INODES = 16


@dataclass(kw_only=True)
class Static:
    """Satisfies `SiteInstaller` for a single page, without a login."""

    template: Path = _TEMPLATE
    """A Jinja template with the variables `title` and `domain`; its `<title>` must be exactly the title."""

    def check(self, server: Server) -> None:
        """See `SiteInstaller`: needs nothing on the server, only the template on this machine."""
        self._page("title", "domain.example")

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """See `SiteInstaller`. Raises `Failed` with a cause of `services.installer.sites.causes`."""
        return live(job, server, step, lambda: Plan(_SPACE, _INODES, self._build))

    def _build(self, site: Site) -> Built:
        job = site.job
        with site.step("stage"):
            write_new(site.stage / "index.html", self._page(job.title, job.domain), 0o640)
            site.docroot.hand_over(site.stage)
        page = Page(job.url, (f"<title>{job.title}</title>",))
        return Built(application="static", version=_VERSION, pages=(page,))

    def _page(self, title: str, domain: str) -> str:
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        return environment.from_string(self.template.read_text("utf-8")).render(title=title, domain=domain)
