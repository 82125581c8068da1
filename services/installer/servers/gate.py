"""Whether an install may begin on its server: not while the server is full, failing again and again, or paused."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from foundation.config.settings import Settings
from foundation.handling.backoff import Backoff
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting.causes import busy, failing, paused
from foundation.service.concurrency import Concurrency
from foundation.telemetry.tracing import Origin
from schemas.envelope import Event
from schemas.servers import ServerClosed, ServerOpened, ServerPause
from schemas.values import Cause
from services.installer.installs import Install
from services.installer.servers.standing import Standing
from services.installer.servers.waking import Waking
from services.installer.sites.causes import SITE_CAUSES
from services.installer.states import ServerState, State, WaitingFor

OF_THE_SERVER = frozenset(code for code, meaning in SITE_CAUSES.items() if meaning.blames_server)
"""Causes that lie in a server as a whole: others would fail there as well."""

_LONGEST_PAUSE = 300.0
"""Seconds that a failing server is left alone at most, before one install is let through to try it."""

_log = structlog.get_logger(__name__)

Missing = tuple[WaitingFor, Cause]
"""What an install has to wait for, and why."""


class Gate:
    """Lets installs begin on servers, and learns from how they end."""

    def __init__(
        self,
        settings: Settings,
        longest: float,
        queue_of: Callable[[Install], str],
        overdue_at: Callable[[Install, datetime], datetime],
    ) -> None:
        """`longest` is how many seconds an install may take. For the others see `Waking`."""
        self.servers = tuple(settings.servers)
        self._most = {name: server.breaker_failures for name, server in settings.servers.items()}
        own = settings.installer
        longest_pause = min(own.retry_longest_seconds, _LONGEST_PAUSE)
        self._pauses = Backoff(timedelta(seconds=own.retry_first_seconds), timedelta(seconds=longest_pause))
        self._longest = timedelta(seconds=longest)
        self._concurrency = Concurrency(settings, partial(busy, work="installs run"), Waking(queue_of, overdue_at).wake)

    def begin(self, uow: UnitOfWork[Any], install: Install) -> Missing | None:
        """Let an install begin, or return what it has to wait for."""
        missing = self._missing(uow, install.server)
        if missing is None:
            self._concurrency.begun(uow, install.server)
            if install.state == State.WAITING:  # others may wait behind it
                self._concurrency.wake(uow, install.server)
        return missing

    def _missing(self, uow: UnitOfWork[Any], server: str) -> Missing | None:
        standing = uow.rows.standings.of(server)
        if standing.is_shut(uow.now):
            return WaitingFor.SERVER, shut(standing)
        if full := self._concurrency.missing(uow, server):
            return WaitingFor.CAPACITY, full
        if not standing.is_failing:
            return None
        before, _ = uow.rows.standings.change(server, lambda it: self._tried(it, uow.now))
        return (WaitingFor.SERVER, shut(before)) if before.is_shut(uow.now) else None

    def _tried(self, standing: Standing, now: datetime) -> Standing:
        fails = standing.is_failing and not standing.is_shut(now)
        return standing.tried(now + self._longest) if fails else standing

    def gave_back(self, uow: UnitOfWork[Any], install: Install) -> None:
        """Note that an install ended without a word on its server."""
        self._concurrency.ended(uow, install.server)
        if uow.rows.standings.of(install.server).state == ServerState.HALF_OPEN:
            uow.rows.standings.change(install.server, lambda it: it.tried_in_vain(uow.now))
            self._concurrency.wake(uow, install.server)

    def succeeded(self, uow: UnitOfWork[Any], install: Install, event: Origin) -> None:
        """Note that a server has done what was asked of it."""
        self._concurrency.ended(uow, install.server)
        if not uow.rows.standings.of(install.server).is_fine:
            self._open_again(uow, install.server, Standing.recovered, event)

    def failed(self, uow: UnitOfWork[Any], install: Install, cause: Cause, event: Origin) -> Missing | None:
        """Note that an attempt failed. If its server is known to fail, return that the install has to wait for it: then
        that was no attempt."""
        server, most = install.server, self._most.get(install.server, 0)
        if cause.code in ("worker_lost", "cancelled"):
            self.gave_back(uow, install)
        elif most and cause.code in OF_THE_SERVER:
            self._concurrency.ended(uow, install.server)
            before, after = uow.rows.standings.change(
                server, lambda it: it.failed(install.order_id, cause, most, self._pauses, uow.now)
            )
            if after.openings > before.openings:
                uow.emit(opened(after), None, event)
                _log.warning("server.opened", server=server, cause=cause.code, reason=cause.detail, due_at=after.until)
            return (WaitingFor.SERVER, shut(after)) if before.is_failing else None
        else:
            self._concurrency.ended(uow, install.server)
            if uow.rows.standings.of(server).state == ServerState.HALF_OPEN:  # the server did its part
                self._open_again(uow, server, Standing.recovered, event)
        return None

    def pause(self, uow: UnitOfWork[Any], event: Event[ServerPause]) -> None:
        """Let no install begin on a server until it is resumed, or until then. Running ones are finished."""
        asked, by = event.data, event.authid
        _, after = uow.rows.standings.change(asked.server, lambda it: it.paused(asked.reason, asked.until, by, uow.now))
        uow.emit(opened(after), None, event)
        _log.warning("server.paused", server=asked.server, reason=asked.reason, due_at=asked.until)

    def resume(self, uow: UnitOfWork[Any], server: str, event: Origin | None = None) -> None:
        """Let installs begin on a server, whether it was paused or is failing."""
        self._open_again(uow, server, Standing.resumed, event, told=True)

    def look(self, uow: UnitOfWork[Any], server: str) -> None:
        """Do what time has made due: end a pause, and wake what waits."""
        if uow.rows.standings.of(server).has_paused_enough(uow.now):
            self.resume(uow, server)
        self._concurrency.wake(uow, server)

    def _open_again(
        self,
        uow: UnitOfWork[Any],
        server: str,
        change: Callable[[Standing, datetime], Standing],
        event: Origin | None,
        *,
        told: bool = False,
    ) -> None:
        before, after = uow.rows.standings.change(server, lambda it: change(it, uow.now))
        if told or (before.is_failing and after.state == ServerState.CLOSED):
            uow.emit(ServerClosed(server=server), None, event)
            _log.info("server.closed", server=server)
            self._concurrency.wake(uow, server)


def shut(standing: Standing) -> Cause:
    """Return why no install may begin on a server."""
    if standing.state == ServerState.PAUSED:
        return paused(standing.name, standing.until, standing.reason, standing.paused_by)
    return failing(standing.name, standing.failures, standing.cause)


def opened(standing: Standing) -> ServerOpened:
    """Return the event that tells that no install begins on a server."""
    is_paused = standing.state == ServerState.PAUSED
    return ServerOpened(
        server=standing.name,
        state="paused" if is_paused else "open",
        since=standing.since or standing.until,
        until=standing.until,
        failures=standing.failures or None,
        cause=None if is_paused else standing.cause,
        reason=standing.reason,
    )
