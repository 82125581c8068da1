"""A site of one greeting, and a server whose accounts are folders on a shelf."""

from pathlib import Path

from pydantic import SecretStr

from foundation.config.settings import Section
from foundation.errors import Failed
from foundation.hosting import Account, AccountRequest, Server, ServerFacts
from foundation.hosting.disk import write_new
from schemas.values import CauseKind
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.deployment import Built, Plan, Site, live
from services.installer.sites.verification.verify import Page


class Greeting:
    """Satisfies `SiteInstaller`."""

    class Options(Section):
        text: str

    def __init__(self, site_type: str, options: Options) -> None:
        self._site_type = site_type
        self._options = options

    def check(self, server: Server) -> None:
        return

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        return live(job, server, step, lambda: Plan(space=4096, inodes=4, build=self._build))

    def _build(self, site: Site) -> Built:
        write_new(site.stage / "index.html", f"<h1>{self._options.text}</h1>", 0o640)
        site.docroot.hand_over(site.stage)
        page = Page(site.job.url, wanted=(self._options.text,))
        return Built(application=self._site_type.title(), version="1", pages=(page,))


class Shelf:
    """Satisfies `Server`."""

    class Options(Section):
        folder: Path
        token: SecretStr = SecretStr("")

    def __init__(self, facts: ServerFacts, options: Options) -> None:
        self.name = facts.name
        self.address = facts.address
        self.web_address = facts.web_address
        self.web = facts.web
        self.control_panel_url = facts.control_panel_url
        self.databases = facts.databases
        self._options = options

    def create_account(self, request: AccountRequest) -> Account:
        owner = self.home(request.username) / "private" / "owner"
        adopted = owner.exists()
        if adopted and owner.read_text() != request.marker:
            raise Failed.because(
                "username_taken", CauseKind.CONFLICT, f"{request.username} is another order's", "Rename."
            )
        for part in ("www", "private"):
            (self.home(request.username) / part).mkdir(parents=True, exist_ok=True)
        owner.write_text(request.marker)
        return Account(request.username, request.domain, adopted)

    def release_domain(self, username: str, domain: str) -> None:
        """It keeps no domains."""

    def home(self, username: str) -> Path:
        return self._options.folder / "accounts" / username

    def temporary_url(self, username: str) -> str:
        return f"{self.web.scheme}://{self.web_address}/~{username}/"

    def domain_url(self, domain: str) -> str:
        return self.web.url(domain)

    def check(self) -> None:
        if not self._options.folder.is_dir():
            raise Failed.because(
                "shelf_missing", CauseKind.CONFIGURATION, f"no folder {self._options.folder}", "Create the folder."
            )
