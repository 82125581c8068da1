"""What the installer decides on: the installs of some orders, in memory for one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from foundation.store.records import Loaded, lock
from foundation.store.running import Running
from schemas.envelope import Event
from schemas.installs import TimerPause, TimerResume
from schemas.mails import MailFailed, MailSent, MailSuppressed, MailWaiting
from schemas.services import ServiceDescribe
from schemas.values import Model
from services.installer.installs import INSTALLS, MAILS, Install, MailOfInstall, installs
from services.installer.pausing import TIMER, TIMERS, TimerRow
from services.installer.servers.standing import Standings

_OF_MAILS = MailSent | MailFailed | MailSuppressed | MailWaiting

_RUNS = installs.c.lease_owner.is_not(None)


def _running(connection: Connection | None = None) -> Running:
    return Running(connection, installs.c.server, _RUNS)


@dataclass(frozen=True)
class InstallRows:
    """All generations of some orders: whole, or what is kept of their mails. And the timer, for commands about it."""

    installs: Loaded[Install]
    mails: Loaded[MailOfInstall]
    timers: Loaded[TimerRow] = field(default_factory=lambda: Loaded(TIMERS))
    running: Running = field(default_factory=_running)
    standings: Standings = field(default_factory=Standings)

    @property
    def timer(self) -> TimerRow:
        return self.timers.get(TIMER) or TimerRow()

    def siblings(self, install: Install) -> Sequence[Install]:
        """The other generations of its order."""
        return [other for other in self.installs.of(install.order_id) if other.install_id != install.install_id]

    def sequence(self, data: Model) -> str | None:
        """Return the version of the install that an event tells of."""
        return self.installs.sequence(vars(data).get("install_id"))

    def flush(self, connection: Connection) -> None:
        """Write what was changed."""
        self.installs.flush(connection)
        self.mails.flush(connection)
        self.timers.flush(connection)
        self.standings.flush(connection)


def load(connection: Connection, orders: Sequence[str], events: Sequence[Event[Any]]) -> InstallRows:
    """For the mailer's answers, what is kept of mails. Else the installs, and their orders are locked as well: two
    generations that have no row yet must not be installed side by side."""
    if events and all(isinstance(event.data, _OF_MAILS) for event in events):
        return InstallRows(Loaded(INSTALLS), MAILS.load(connection, orders))
    lock(connection, orders)
    about_timer = any(isinstance(event.data, TimerPause | TimerResume | ServiceDescribe) for event in events)
    timers = TIMERS.load(connection, [TIMER] if about_timer else [])
    return InstallRows(
        INSTALLS.load(connection, orders), Loaded(MAILS), timers, _running(connection), Standings(connection)
    )
