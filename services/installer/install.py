"""The installer's handlers for installs: note what is staged; claim what is due, install and verify it, record that."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import structlog

from foundation.clock import utc_now
from foundation.config.keys import Sealer
from foundation.config.servers import site_url
from foundation.config.settings import Settings
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting import Server
from foundation.service.broadcast import Tell, tell_nobody
from foundation.service.site_types import SiteTypes
from foundation.store.lease import Terms, this_process
from foundation.telemetry.tracing import trace_of
from schemas.envelope import Event
from schemas.installs import ApplicationLogin, InstallCompleted, InstallStaged
from schemas.orders import OrderAmended
from schemas.values import Cause
from services.installer import telling
from services.installer.causes import INSTALL_CAUSES
from services.installer.installs import AHEAD, INSTALLS, PENDING, Ending, Install
from services.installer.rows import InstallRows
from services.installer.servers import requirements
from services.installer.servers.overview import statuses
from services.installer.servers.postponing import Postponing, names
from services.installer.sites import InstalledSite, Job, SiteInstaller
from services.installer.sites.causes import failed
from services.installer.sites.verification.mailbox import with_ascii_domain
from services.installer.states import MailState, State
from services.installer.steps import Steps

ORDER_INTAKE = "/sitecrew/order-intake"
"""The source of order intake's events."""
_EARLY = timedelta(seconds=1)
"""How far clocks may differ before an install counts as delivered early."""

_log = structlog.get_logger(__name__)


class Installing:
    """The handlers of staged and of due installs, and of corrected customers."""

    def __init__(
        self,
        settings: Settings,
        servers: Mapping[str, Server],
        installers: Mapping[str, SiteInstaller],
        sealer: Sealer,
        tell: Tell = tell_nobody,
        goes_on: Callable[[Install], bool] = lambda _claim: True,
    ) -> None:
        """`goes_on` says of a claim whether it still holds and is not to end; called before each step."""
        self._settings = settings
        self._servers = servers
        self._installers = installers
        self._sealer = sealer
        self._tell = tell
        self._goes_on = goes_on
        self.site_types = SiteTypes("installer", settings)
        own = settings.installer
        self._terms = Terms(this_process(), timedelta(seconds=own.lease_seconds))
        self.longest = 60.0 + 2 * own.timeout_seconds
        """Seconds that an install may take; one that takes longer hangs, and is left to others."""
        self.leases = Leases(INSTALLS, self._terms, self.longest)
        self.later = Postponing(settings, self.site_types, self.longest)
        self.gate = self.later.gate

    def staged(self) -> Handlers:
        """Handlers of `installer.staged`: the row exists before the install is due."""
        return {InstallStaged: self.note, OrderAmended: self.amend}

    def due(self) -> Handlers:
        """Handlers of `installer.due` and `installer.now`, into which the delayed exchange delivers."""
        return {InstallStaged: self.start}

    def note(self, uow: UnitOfWork[InstallRows], event: Event[InstallStaged]) -> Outcome:
        """Write the install down, and cancel older generations that have not begun. If order intake announces one that
        has ended, it has not heard so: tell it again."""
        install = uow.rows.installs.get(event.data.install_id)
        if install is None:
            self._noted(uow, event)
        elif (end := telling.end(install)) and _is_announced_again(install, event):
            uow.emit(end, install.order_id, event)
        return Done()

    def amend(self, uow: UnitOfWork[InstallRows], event: Event[OrderAmended]) -> Outcome:
        """Correct the customer of installs that have not ended well. A running one uses it if it is tried again."""
        for install in uow.rows.installs.of(event.data.order_id):
            if install.state in (*PENDING, State.INSTALLING, State.FAILED):
                uow.rows.installs.save(install.amended(event.data.customer))
        return Done()

    def _noted(self, uow: UnitOfWork[InstallRows], event: Event[InstallStaged]) -> Install:
        staged = event.data.model_copy(update={"max_attempts": self._settings.installer.max_attempts})
        noted = Install(
            install_id=staged.install_id,
            order_id=staged.order_id,
            generation=staged.generation,
            site_type=staged.site.site_type,
            domain=staged.account.domain,
            server=staged.account.server,
            max_attempts=staged.max_attempts,
            due_at=staged.due_at,
            staged=staged,
            trace=trace_of(event),
            staged_at=uow.now,
            in_line_since=uow.now - AHEAD[staged.priority or "normal"],
        )
        install = uow.rows.installs.save(noted.watched(self.later.overdue_at(noted, noted.due_at)))
        for older in uow.rows.siblings(install):
            if older.generation < install.generation and older.state in (*PENDING, State.FAILED):
                self._supersede(uow, older, install, event)
        return install

    def start(self, uow: UnitOfWork[InstallRows], event: Event[InstallStaged]) -> Outcome | Effect:
        """Claim the install. The row decides; the message only says that it is time."""
        install = uow.rows.installs.get(event.data.install_id) or self._noted(uow, event)
        if install.state not in PENDING:
            return Done()  # one that is being installed is finished, or its lease ends and `Recovery` brings it back
        if _is_early(install, uow.now):
            return _later(install)
        siblings = uow.rows.siblings(install)
        if (newer := _newest_after(install, siblings)) and install.ending is None:
            self._supersede(uow, install, newer, event)
            return Done()
        if any(other.state == State.INSTALLING for other in siblings):
            busy = INSTALL_CAUSES.cause("account_busy", "another install is running in this account")
            return Retry(uow.now + self._terms.lease, busy)
        if missing := self.gate.begin(uow, install):
            return self.later.wait(uow, install, *missing, event)
        begun = uow.rows.installs.save(install.begun(self._terms, uow.now, self._settings.installer.max_attempts))
        uow.emit(telling.started(begun), begun.order_id, event)
        return Effect(begun, self._run, self._record, self._fail, self._give_back)

    def facts(self, uow: UnitOfWork[InstallRows], next_tick: datetime | None) -> Mapping[str, Any]:
        """Return what `service.described` reports."""
        own = self._settings
        return {
            "max_attempts": own.installer.max_attempts,
            "site_types": tuple(self._installers),
            "timer": own.timer.every,
            "timezone": own.timer.timezone,
            "next_tick": next_tick,
            "paused_since": uow.rows.timer.paused_since,
            "servers": statuses(uow.connection, own.servers, uow.rows.standings),
        }

    def _run(self, install: Install) -> tuple[InstalledSite, float]:
        began = perf_counter()
        with structlog.contextvars.bound_contextvars(**names(install)):
            installer, server = self._tools(install)
            steps = Steps(install, self._goes_on, self._tell)
            if (required := self._required(install.site_type)) and not install.ending:
                steps.require(lambda: requirements.check(required, install.staged.account, server))
            site = installer.install(self._job(install, server), server, steps.step)
        return site, perf_counter() - began

    def _tools(self, install: Install) -> tuple[SiteInstaller, Server]:
        installer = self._installers.get(install.site_type)
        server = self._servers.get(install.server)
        if installer is None or server is None:
            missing = f"site type {install.site_type}" if installer is None else f"server {install.server}"
            raise failed("not_configured", f"this installer does not know {missing}")
        return installer, server

    def _required(self, site_type: str) -> Sequence[str]:
        site = self._settings.sites.get(site_type)
        return site.require if site else ()

    def _job(self, install: Install, server: Server) -> Job:
        staged, account = install.staged, install.staged.account
        return Job(
            install_id=install.install_id,
            order_id=install.order_id,
            generation=install.generation,
            fence=install.fence,
            username=account.username,
            domain=account.domain,
            aliases=account.aliases or (),
            url=self._url(install, server),
            title=staged.site.title,
            admin_email=with_ascii_domain(staged.customer.email),
            seal=self._sealer.seal,
            locale=staged.site.locale,
            timezone=staged.site.timezone,
            permalinks=staged.site.permalinks,
            keep=tuple(self._settings.sites[install.site_type].keep),
            replace=tuple(self._settings.sites[install.site_type].replace),
            deadline=utc_now() + timedelta(seconds=self._settings.installer.timeout_seconds),
        )

    def _url(self, install: Install, server: Server) -> str:
        """The site's address as the settings are now: a server may have moved since the install was staged."""
        account, staged = install.staged.account, install.staged.site.url
        if install.site_type not in self._settings.sites:
            return staged
        url = site_url(self._settings, server, install.site_type, account.username, account.domain)
        if url != staged:
            _log.warning("install.address_changed", **names(install), staged=staged, url=url)
        return url

    def _record(
        self,
        uow: UnitOfWork[InstallRows],
        claim: Install,
        event: Event[InstallStaged],
        outcome: tuple[InstalledSite, float],
    ) -> Outcome:
        site, seconds = outcome
        if install := _held(uow, claim):
            self.gate.succeeded(uow, install, event)
            completed = _completed(install, site, self._servers[install.server], seconds)
            mail = MailState.WAITING if self.site_types.is_welcomed(install.site_type) else MailState.OFF
            there = [other.generation for other in uow.rows.siblings(install) if other.state == State.INSTALLED]
            uow.rows.installs.save(install.installed(completed, mail, uow.now, max(there, default=None)))
            uow.emit(completed, install.order_id, event)
            _log.info("install.completed", **names(install), url=site.url, duration_seconds=round(seconds, 3))
        return Done()

    def _fail(self, uow: UnitOfWork[InstallRows], claim: Install, event: Event[InstallStaged], cause: Cause) -> Outcome:
        if install := _held(uow, claim):
            self.later.attempt_failed(uow, install, cause, event)
        return Done()

    def _give_back(self, uow: UnitOfWork[InstallRows], claim: Install, event: Event[InstallStaged]) -> Outcome:
        """The service stops before a thread was free for the install: another replica begins it at once."""
        if (install := _held(uow, claim)) is None:
            return Done()
        self.gate.gave_back(uow, install)
        if install.ending:
            self.later.finish(uow, install.unclaimed(), event)
            return Done()
        given = uow.rows.installs.save(install.not_begun(self.later.overdue_at(install, uow.now)))
        uow.emit(telling.staged(given), given.order_id, event)
        return Retry(uow.now, INSTALL_CAUSES.cause("given_back", "the installer stopped before the install began"))

    def _supersede(self, uow: UnitOfWork[InstallRows], older: Install, newer: Install, event: Event[Any]) -> None:
        self.later.end(uow, older, Ending(reason=f"superseded by {newer.install_id}", trace=trace_of(event)))


def _is_early(install: Install, now: datetime) -> bool:
    """Whether it was delivered before its time. A clock that has been put back since that was decided can't say so."""
    decided = max(install.staged_at, install.started_at or install.staged_at)
    return install.due_at > now + _EARLY and now > decided - _EARLY


def _is_announced_again(install: Install, event: Event[InstallStaged]) -> bool:
    """Whether order intake has announced the install after it had ended."""
    later = event.time is not None and install.finished_at is not None and event.time > install.finished_at
    return later and event.source == ORDER_INTAKE


def _later(install: Install) -> Outcome:
    """One that was delivered early comes again when it is due. One that waits has a message of its own under way."""
    if install.state == State.WAITING:
        return Done()
    return Retry(install.due_at, INSTALL_CAUSES.cause("early", "delivered before it is due"))


def _newest_after(install: Install, siblings: Iterable[Install]) -> Install | None:
    newer = [other for other in siblings if other.generation > install.generation and other.state != State.CANCELLED]
    return max(newer, key=lambda other: other.generation, default=None)


def _held(uow: UnitOfWork[InstallRows], claim: Install) -> Install | None:
    """The install as it is now; None for a worker that has lost it meanwhile."""
    install = uow.rows.installs.held(claim)
    if install is None:
        _log.warning("install.lost_its_lease", **names(claim))
    return install


def _completed(install: Install, site: InstalledSite, server: Server, seconds: float) -> InstallCompleted:
    """What the letter is written from: the addresses that hold now."""
    account, login = install.staged.account, None
    panel = account.control_panel
    if panel is not None and server.control_panel_url:
        panel = panel.model_copy(update={"url": server.control_panel_url})
    if site.login_url and site.username and site.sealed_password:
        login = ApplicationLogin(login_url=site.login_url, username=site.username, sealed_password=site.sealed_password)
    return InstallCompleted(
        **install.ref,
        attempt=install.current_attempt,
        site=install.staged.site.model_copy(update={"url": site.url}),
        application=site.application,
        version=site.version,
        login=login,
        account=account.model_copy(update={"address": server.address, "control_panel": panel}),
        customer=install.staged.customer,
        seconds=round(seconds, 3),
    )
