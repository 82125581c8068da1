"""The mailer: wiring only."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from foundation.config.keys import Opener
from foundation.config.queues import MAILER_COMMANDS, MAILER_INSTALLS
from foundation.config.settings import Keys, Mailer, Settings
from foundation.service.process import Loop, Service, run_alone, serve
from services.mailer import limits, mails
from services.mailer.delivery import Welcoming
from services.mailer.letter.rendering import letters_of
from services.mailer.resend import commands
from services.mailer.smtp import Smtp

_IDLE = 20.0
"""Seconds that a connection to the mail server is kept for the next letter."""

MIGRATIONS = Path(__file__).parent / "migrations"


def loops(settings: Settings, opener: Opener, service: Service) -> Sequence[Loop]:
    own = settings.mailer
    letters = letters_of(own)
    smtp = smtp_of(own)
    welcoming = Welcoming(settings, letters, smtp.send, opener, service.now)
    handlers = welcoming.handlers()
    worker = service.worker(
        MAILER_INSTALLS, handlers, own.capacity, own.threads, deadline=welcoming.longest, leases=welcoming.leases
    )
    steering = service.worker(MAILER_COMMANDS, commands({"max_attempts": own.max_attempts}), own.capacity)
    service.count("letters", "Letters by state", mails.counts)
    return (
        service.consume(worker, own.capacity),
        service.consume(steering, own.capacity),
        service.every(10, lambda: welcoming.wake_stale(service.database)),
        service.every(30, lambda: welcoming.reopen(service.database)),
        service.every(10, lambda: smtp.close_idle(_IDLE)),
        service.every(600, lambda: limits.forget_old(service.database)),
        service.every(10, lambda: welcoming.renew_leases(service.database)),
    )


def smtp_of(mailer: Mailer) -> Smtp:
    own = mailer.smtp
    return Smtp(
        host=own.host,
        port=own.port,
        security=own.security,
        username=own.username or None,
        password=own.password.get_secret_value() if own.password else None,
        timeout=own.timeout_seconds,
        helo=own.helo,
        ca_file=own.ca_file,
        deadline=own.deadline_seconds,
        letters_per_connection=own.letters_per_connection,
    )


def opener_of(keys: Keys) -> Opener:
    """Raises ConfigurationError if the keys don't fit together."""
    previous = [key.get_secret_value() for key in keys.previous]
    return Opener(keys.private.get_secret_value(), keys.public, previous)


def main(settings: Settings) -> int:
    opener = opener_of(settings.keys)
    return serve("mailer", settings, settings.mailer, MIGRATIONS, partial(loops, settings, opener))


if __name__ == "__main__":
    sys.exit(run_alone(main))
