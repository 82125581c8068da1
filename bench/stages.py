"""The three services with nothing to do in the outside world: what is left is what Sitecrew itself costs.

python -m bench.stages order-intake|installer|mailer
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from foundation.config.keys import Opener, Sealer
from foundation.config.queues import INSTALLER_NOW, INSTALLER_STAGED, INTAKE_INSTALLS, INTAKE_ORDERS, MAILER_INSTALLS
from foundation.config.settings import Settings, load
from foundation.handling.worker import Handlers
from foundation.hosting import Account, AccountRequest, Databases, Server
from foundation.service.process import Loop, Running, Service, serve
from services.installer import __main__ as installer
from services.installer.install import Installing
from services.installer.sites import InstalledSite, Job, Step
from services.mailer import __main__ as mailer
from services.mailer.delivery import Welcoming
from services.mailer.letter.envelope import Letter
from services.mailer.letter.rendering import Letters
from services.order_intake import __main__ as order_intake
from services.order_intake.intake import Intake

_PREFETCH = 400


class NoServer:
    """A hosting server on which everything exists already."""

    name = "local"
    address = "127.0.0.1"
    web_address = "127.0.0.1:80"
    control_panel_url: str | None = None
    databases: Databases | None = None

    def create_account(self, request: AccountRequest) -> Account:
        return Account(request.username, request.domain, adopted=False)

    def home(self, username: str) -> Path:
        return Path("/nowhere") / username

    def temporary_url(self, username: str) -> str:
        return f"http://127.0.0.1/~{username}/"

    def domain_url(self, domain: str) -> str:
        return f"http://{domain}/"

    def check(self) -> None:
        return


class NoSite:
    """A site that is there at once."""

    site_type = "static"

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        return InstalledSite("Nothing", "1", job.url)

    def check(self, server: Server) -> None:
        return


def _no_letter(_letter: Letter) -> None:
    return


def _lane(service: Service, queue: str, handlers: Handlers, threads: int = 1) -> Loop:
    return service.consume(service.worker(queue, handlers, _PREFETCH, threads), _PREFETCH)


def _intake(settings: Settings, service: Service) -> Sequence[Loop]:
    intake = Intake(settings, {"local": NoServer()}, Sealer(settings.keys.public))
    return (_lane(service, INTAKE_ORDERS, intake.orders()), _lane(service, INTAKE_INSTALLS, intake.news()))


def _installer(settings: Settings, service: Service) -> Sequence[Loop]:
    sealer = Sealer(settings.keys.public)
    installing = Installing(settings, {"local": NoServer()}, {"static": NoSite()}, sealer)
    return (
        _lane(service, INSTALLER_STAGED, installing.staged()),
        _lane(service, INSTALLER_NOW, installing.due()),
        service.every(5, lambda: installing.renew_leases(service.ledger)),
    )


def _mailer(settings: Settings, service: Service) -> Sequence[Loop]:
    letters = Letters(None, settings.mailer.sender, settings.mailer.brand)
    opener = Opener(settings.keys.private.get_secret_value())
    return (_lane(service, MAILER_INSTALLS, Welcoming(settings, letters, _no_letter, opener, service.now).handlers()),)


STAGES: dict[str, tuple[Callable[[Settings, Service], Sequence[Loop]], Path, Callable[[Settings], Running]]] = {
    "order-intake": (_intake, order_intake.MIGRATIONS, lambda settings: settings.order_intake),
    "installer": (_installer, installer.MIGRATIONS, lambda settings: settings.installer),
    "mailer": (_mailer, mailer.MIGRATIONS, lambda settings: settings.mailer),
}


def main(name: str) -> int:
    settings = load()
    loops, migrations, own = STAGES[name]
    return serve(name, settings, own(settings), migrations, lambda service: loops(settings, service))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
