"""The mailer wired up: which handlers serve which queue, its periodic tasks and its gauges."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from foundation.config.keys import Opener
from foundation.config.queues import MAILER_COMMANDS, MAILER_INSTALLS
from foundation.config.settings import Keys, Mailer, Settings
from foundation.service.lanes import Gauge, Lane, Loop, Parts, Periodic
from services.mailer import listing, recipients, recovery
from services.mailer.alerting import Alerting
from services.mailer.delivery import Welcoming
from services.mailer.letter.envelope import Letter
from services.mailer.letter.rendering import Letters
from services.mailer.resend import commands
from services.mailer.rows import load
from services.mailer.smtp import Smtp

__all__ = ["MIGRATIONS", "MailerService", "load", "opener_of", "smtp_of"]

MIGRATIONS = Path(__file__).parent / "migrations"

_AT_A_TIME = 200
_IDLE = 20.0
"""Seconds that a connection to the mail server is kept for the next letter."""


class MailServer(Protocol):
    """Sends letters over connections that it keeps for a while."""

    def send(self, letter: Letter) -> None:
        """Hand over one letter. Raises Failed."""

    def close_idle(self, seconds: float) -> None:
        """Close the connections that have been idle for so long."""


class MailerService:
    """The mailer. It sends through `server`."""

    def __init__(self, settings: Settings, parts: Parts, letters: Letters, server: MailServer, opener: Opener) -> None:
        self._settings = settings.mailer
        self._database = parts.database
        self._server = server
        self.welcoming = Welcoming(settings, letters, server.send, opener, parts.now)
        self.alerting = Alerting(settings, server.send, parts.now)
        self._rereading = self.welcoming.site_types.rereading(parts.store)

    def lanes(self) -> Sequence[Lane]:
        own, welcoming = self._settings, self.welcoming
        facts = {"max_attempts": own.max_attempts}
        staffs = commands(welcoming.site_types, welcoming.preview, self.alerting.send, facts)
        return (
            Lane(
                MAILER_INSTALLS,
                welcoming.handlers(),
                own.capacity,
                own.threads,
                _AT_A_TIME,
                deadline=welcoming.longest,
                leases=welcoming.leases,
            ),
            Lane(MAILER_COMMANDS, staffs, own.capacity, deadline=welcoming.longest),
        )

    def loops(self) -> Sequence[Loop]:
        return ()

    def periodic(self) -> Sequence[Periodic]:
        return (
            Periodic("wake_stale", 10, lambda: recovery.wake_stale(self._database)),
            Periodic("reopen", 30, lambda: recovery.reopen(self._database, self.welcoming.opens)),
            Periodic("close_idle", 10, lambda: self._server.close_idle(_IDLE)),
            Periodic("forget_recipients", 600, lambda: recipients.forget_old(self._database)),
            Periodic("renew_leases", 10, lambda: self.welcoming.leases.renew(self._database)),
            self._rereading,
        )

    def vitals(self) -> Mapping[str, Any]:
        return {}

    def gauges(self) -> Sequence[Gauge]:
        return (Gauge("letters", "Letters by state", listing.counts),)


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
    """Raises ConfigurationError if the keys do not belong together."""
    previous = [key.get_secret_value() for key in keys.previous]
    return Opener(keys.private.get_secret_value(), keys.public, previous)
