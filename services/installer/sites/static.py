"""A placeholder of one page, for domains whose owner brings the site later: no PHP, no database."""

from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from foundation.hosting import Server
from foundation.hosting.disk import require_room, write_new
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.docroot import Docroot
from services.installer.sites.markers import SiteMarker
from services.installer.sites.verify import Page, verify

_TEMPLATE = Path(__file__).with_name("placeholder.html")
_VERSION = "1"
_SPACE = 1024 * 1024  # bytes
_INODES = 16


@dataclass(kw_only=True)
class Static:
    """Satisfies `SiteInstaller` for a single page. The customer gets no login with it."""

    site_type: str = field(default="static", init=False)
    template: Path = _TEMPLATE
    """A Jinja template that is given `title` and `domain`; its `<title>` must be the title alone."""

    def check(self, server: Server) -> None:
        """See `SiteInstaller`: nothing of the server is needed, the template of this machine is."""
        self._page("title", "domain.example")

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """See `SiteInstaller`. Raises `Failed` with a cause of `services.installer.sites.causes`."""
        docroot = Docroot.of(job, server)
        with step("preflight"):
            if (done := docroot.begin()) is not None:
                return done
            require_room(docroot.home, _SPACE, _INODES)
        with docroot.building() as stage:
            with step("stage"):
                write_new(stage / "index.html", self._page(job.title, job.domain), 0o640)
                docroot.hand_over(stage)
            marker = SiteMarker(job.install_id, docroot.run, "static", _VERSION, job.url)
            pages = (Page(job.url, f"<title>{job.title}</title>"),)
            docroot.go_live(stage, marker, lambda: verify(server.web_address, pages, job.deadline), step)
        return marker.site(adopted=False)

    def _page(self, title: str, domain: str) -> str:
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        return environment.from_string(self.template.read_text("utf-8")).render(title=title, domain=domain)
