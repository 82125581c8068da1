"""The mailer: wiring only."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from foundation.broker.topology import MAILER_COMMANDS, MAILER_INSTALLS
from foundation.runtime import settings as settings_of
from foundation.runtime.sealing import Opener
from foundation.runtime.service import Loop, Service, serve
from foundation.runtime.settings import Settings, load
from services.mailer import mails
from services.mailer.letters import Letters
from services.mailer.resend import commands
from services.mailer.smtp import Smtp
from services.mailer.welcome import Welcoming

MIGRATIONS = Path(__file__).parent / "migrations"


def loops(settings: Settings, opener: Opener, service: Service) -> Sequence[Loop]:
    own = settings.mailer
    letters = Letters(own.templates, own.sender, own.brand, own.support)
    welcoming = Welcoming(settings, letters, smtp_of(own.smtp).send, opener, service.now)
    worker = service.worker(MAILER_INSTALLS, welcoming.handlers(), own.capacity, own.threads)
    steering = service.worker(MAILER_COMMANDS, commands({"max_attempts": own.max_attempts}), own.capacity)
    service.count("letters", "Letters by state", mails.counts)
    return (
        service.consume(worker, own.capacity),
        service.consume(steering, own.capacity),
        service.every(10, lambda: welcoming.wake_stale(service.ledger)),
        service.every(10, lambda: welcoming.renew_leases(service.ledger)),
    )


def smtp_of(own: settings_of.Smtp) -> Smtp:
    password = own.password.get_secret_value() if own.password else None
    return Smtp(own.host, own.port, own.security, own.username, password, own.timeout_seconds)


def main(settings: Settings) -> int:
    opener = Opener(settings.keys.private.get_secret_value(), settings.keys.public)
    return serve("mailer", settings, settings.mailer, MIGRATIONS, partial(loops, settings, opener))


if __name__ == "__main__":
    sys.exit(main(load()))
