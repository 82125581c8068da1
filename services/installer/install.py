"""Carrying out an install: claim its row, install and verify, record what came of it."""

import os
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import structlog

from foundation.clock import utc_now
from foundation.config.keys import Sealer
from foundation.config.queues import INSTALLER_DUE, INSTALLER_NOW
from foundation.config.servers import site_url
from foundation.config.settings import Settings
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.hosting import Server
from foundation.telemetry.tracing import Origin, trace_of
from schemas.envelope import Event
from schemas.installs import (
    ApplicationLogin,
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallStaged,
    InstallStarted,
)
from schemas.orders import OrderAmended
from schemas.values import Cause, CauseKind
from services.installer import installs, moves
from services.installer.causes import WAITING
from services.installer.installs import Install, State
from services.installer.sites import InstalledSite, Job, SiteInstaller
from services.installer.sites.causes import failed
from services.installer.sites.verification.mailbox import with_ascii_domain
from services.installer.upcoming import after_failure

_EARLY = timedelta(seconds=1)
"""How far clocks may differ before an install counts as delivered early."""
_ONE_MORE_TRY = {"verify_failed": 2}
"""Causes that are worth fewer attempts than the setting allows."""

_AT_ONCE = {"worker_lost"}
"""Causes after which a pause would help nobody."""

_log = structlog.get_logger(__name__)


class Installing:
    """The installer's handlers for what is staged and what is due."""

    def __init__(
        self,
        settings: Settings,
        servers: Mapping[str, Server],
        installers: Mapping[str, SiteInstaller],
        sealer: Sealer,
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._installers = installers
        self._sealer = sealer
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._lease = timedelta(seconds=settings.installer.lease_seconds)
        self.longest = 60.0 + 2 * settings.installer.timeout_seconds
        """Seconds that an install may take; one that takes longer hangs, and is left to others."""
        self.leases = Leases(self.longest, key="install_id")

    def staged(self) -> Handlers:
        """The news that something is staged: the row is there before its time comes."""
        return {InstallStaged: self.note, OrderAmended: self.amend}

    def due(self) -> Handlers:
        """What the delayed exchange brings when its time has come."""
        return {InstallStaged: self.start}

    def note(self, uow: UnitOfWork, event: Event[InstallStaged]) -> Outcome:
        """Write the install down, and cancel older generations that have not begun."""
        self._noted(uow, event)
        return Done()

    def amend(self, uow: UnitOfWork, event: Event[OrderAmended]) -> Outcome:
        """The customer of what is not yet installed has another name or address."""
        moves.amend(uow, event.data.order_id, event.data.customer)
        return Done()

    def _noted(self, uow: UnitOfWork, event: Event[InstallStaged]) -> Install | None:
        """The install if it is new."""
        site_type, due_at = event.data.site.site_type, event.data.due_at
        staged = event.data.model_copy(update={"max_attempts": self._settings.installer.max_attempts})
        install = moves.stage(uow, staged, self.overdue_at(site_type, due_at), trace_of(event))
        for older in moves.supersede(uow, install) if install else ():
            uow.emit(_superseded(older, event.data.install_id), older.order_id, event)
        return install

    def start(self, uow: UnitOfWork, event: Event[InstallStaged]) -> Outcome | Effect:
        """Claim the install. The row is the truth, the message only the wake-up."""
        # Known, as a rule, by the news of it; if not, another replica may be faster to note it than we are.
        name = event.data.install_id
        install = installs.find(uow.connection, name) or self._noted(uow, event) or installs.find(uow.connection, name)
        if install is None or install.state not in (State.STAGED, State.INSTALLING):
            return Done()
        if install.state == State.INSTALLING:
            return Done()  # its worker finishes it, or its lease ends and `Reconciler.recover` wakes it
        # A clock that has been put back since it was decided when it is due can't say that it is early.
        decided = max(install.staged_at, install.started_at or install.staged_at)
        if install.due_at > uow.now + _EARLY and uow.now > decided - _EARLY:
            return Retry(install.due_at, WAITING.cause("early", "delivered before it is due"))
        claimed = moves.claim(uow, install, self._owner, self._lease, self._settings.installer.max_attempts)
        if claimed is None:
            return self._give_way(uow, install, event)
        tried = {"attempt": claimed.attempt, "max_attempts": claimed.max_attempts}
        started = InstallStarted(**claimed.ref.model_dump(), **tried, worker=self._owner)
        uow.emit(started, claimed.order_id, event)
        return Effect(claimed, self._run, self._record, self._fail)

    def _give_way(self, uow: UnitOfWork, install: Install, event: Event[InstallStaged]) -> Outcome:
        """To what works in the account just now, or for good to a newer generation of the same order."""
        newer = moves.newer(uow, install)
        if newer is None:
            return Retry(uow.now + self._lease, WAITING.cause("account_busy", "another install works in this account"))
        if moves.cancel(uow, install, f"superseded by {newer}"):
            uow.emit(_superseded(install, newer), install.order_id, event)
        return Done()

    def renew_leases(self, database: Database) -> None:
        """Tell the table that we are still at work on what we hold."""
        if held := self.leases.held():
            with database.begin() as uow:
                moves.renew(uow, held, self._lease)

    def stage_again(self, uow: UnitOfWork, install: Install, cause: Origin) -> None:
        """Publish that the install is staged (as its row now says), and wake it at its time."""
        staged = install.staged.model_copy(
            update={
                "attempt": install.attempt,
                "max_attempts": install.max_attempts,
                "due_at": install.due_at,
                "cause": install.cause,
            }
        )
        event = uow.emit(staged, install.order_id, cause)
        suspect = install.cause is not None and install.cause.code in _AT_ONCE
        uow.deliver(event, self.lane(install.site_type), install.due_at, suspect=suspect)

    def facts(self, next_tick: datetime | None) -> Mapping[str, Any]:
        """By which settings this installer works, for `service.described`."""
        own = self._settings
        return {
            "max_attempts": own.installer.max_attempts,
            "site_types": tuple(self._installers),
            "timer": own.timer.every,
            "timezone": own.timer.timezone,
            "next_tick": next_tick,
        }

    def after_next_batch(self, now: datetime) -> datetime:
        """When a batch should have taken what is due now."""
        return self._settings.timer.first_tick(now) + installs.OVERDUE

    def overdue_at(self, site_type: str, due_at: datetime) -> datetime:
        """When an install that is due then should have been taken, if no batch is late."""
        return self._settings.begins_at(site_type, due_at) + installs.OVERDUE

    def lane(self, site_type: str) -> str:
        """The queue in which installs of this type come due: the timer's, or the immediate one."""
        return INSTALLER_DUE if self._settings.stages(site_type) else INSTALLER_NOW

    def attempt_failed(self, uow: UnitOfWork, install: Install, cause: Cause, event: Origin) -> None:
        """Another attempt after a pause if the cause passes by itself; else failed for good."""
        own = self._settings.installer
        limit = min(own.max_attempts, _ONE_MORE_TRY.get(cause.code, own.max_attempts))
        if cause.kind == CauseKind.TRANSIENT and install.attempt < limit:
            due_at = uow.now + self._pause(install, cause)
            if staged := moves.stage_again(uow, install, cause, due_at, self.overdue_at(install.site_type, due_at)):
                self.stage_again(uow, staged, event)
                _log.warning("install.retry", **_names(staged), cause=cause.code, reason=cause.detail, due_at=due_at)
        elif over := moves.fail(uow, install, cause, limit):
            uow.emit(_failed(over, cause), over.order_id, event)
            _log.error("install.failed", **_names(over), cause=cause.code, reason=cause.detail, remedy=cause.remedy)

    def _pause(self, install: Install, cause: Cause) -> timedelta:
        own = self._settings.installer
        if cause.code in _AT_ONCE:
            return timedelta(0)
        pause = min(own.retry_longest_seconds, own.retry_first_seconds * 2 ** (install.attempt - 1))
        return timedelta(seconds=pause * random.uniform(0.8, 1.2))

    def _run(self, install: Install) -> tuple[InstalledSite, float]:
        began = perf_counter()
        with structlog.contextvars.bound_contextvars(**_names(install)):
            installer, server = self._tools(install)
            site = installer.install(self._job(install, server), server, _step)
        return site, perf_counter() - began

    def _tools(self, install: Install) -> tuple[SiteInstaller, Server]:
        installer = self._installers.get(install.site_type)
        server = self._servers.get(install.server)
        if installer is None or server is None:
            missing = f"site type {install.site_type}" if installer is None else f"server {install.server}"
            raise failed("not_configured", f"this installer knows no {missing}")
        return installer, server

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
            _log.warning("install.address_changed", **_names(install), staged=staged, url=url)
        return url

    def _record(
        self, uow: UnitOfWork, install: Install, event: Event[InstallStaged], outcome: tuple[InstalledSite, float]
    ) -> Outcome:
        site, seconds = outcome
        completed = _completed(install, site, self._servers[install.server], seconds)
        wanted = self._settings.sites[install.site_type].welcome_email
        if moves.complete(uow, install, completed, mail_state="" if wanted else "none"):
            uow.emit(completed, install.order_id, event)
            _log.info("install.completed", **_names(install), url=site.url, duration_seconds=round(seconds, 3))
        else:
            _log.warning("install.lost_its_lease", **_names(install))
        return Done()

    def _fail(self, uow: UnitOfWork, install: Install, event: Event[InstallStaged], cause: Cause) -> Outcome:
        self.attempt_failed(uow, install, cause, event)
        return Done()


@contextmanager
def _step(name: str) -> Iterator[None]:
    _log.debug("install.step", step=name)
    began = perf_counter()
    yield
    _log.debug("install.step_done", step=name, duration_seconds=round(perf_counter() - began, 3))


def _completed(install: Install, site: InstalledSite, server: Server, seconds: float) -> InstallCompleted:
    """What the letter is written from: the addresses that hold now."""
    account, login = install.staged.account, None
    panel = account.control_panel
    if panel is not None and server.control_panel_url:
        panel = panel.model_copy(update={"url": server.control_panel_url})
    if site.login_url and site.username and site.sealed_password:
        login = ApplicationLogin(login_url=site.login_url, username=site.username, sealed_password=site.sealed_password)
    return InstallCompleted(
        **install.ref.model_dump(),
        attempt=install.attempt,
        site=install.staged.site.model_copy(update={"url": site.url}),
        application=site.application,
        version=site.version,
        login=login,
        account=account.model_copy(update={"address": server.address, "control_panel": panel}),
        customer=install.staged.customer,
        seconds=round(seconds, 3),
    )


def _failed(install: Install, cause: Cause) -> InstallFailed:
    tried = {"attempt": install.attempt, "max_attempts": install.max_attempts}
    return InstallFailed(**install.ref.model_dump(), **tried, cause=cause, next=after_failure(install)[:200])


def _superseded(install: Install, newer: str) -> InstallCancelled:
    return InstallCancelled(**install.ref.model_dump(), reason=f"superseded by {newer}")


def _names(install: Install) -> dict[str, object]:
    return {"order_id": install.order_id, "install_id": install.install_id, "attempt": install.attempt}
