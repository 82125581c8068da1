"""The handlers of commands: cancel, retry or resolve an install; run, pause or resume the timer, or a server."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog

from foundation.config.queues import INSTALLER_COMMANDS
from foundation.handling.commands import refuse_command
from foundation.handling.outcomes import Done, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.description import Description
from foundation.service.replay import Replay
from foundation.telemetry.tracing import trace_of
from schemas.envelope import Event
from schemas.installs import (
    InstallCancel,
    InstallResolve,
    InstallRetry,
    TimerPause,
    TimerPaused,
    TimerResume,
    TimerResumed,
    TimerRunNow,
)
from schemas.servers import ServerPause, ServerResume
from schemas.services import ServiceDescribe, ServiceReplay, SiteTypeConfigure
from services.installer import telling
from services.installer.causes import INSTALL_CAUSES
from services.installer.install import ORDER_INTAKE, Installing
from services.installer.installs import INSTALLS, PENDING, TRANSITIONS, Ending, Install
from services.installer.rows import InstallRows
from services.installer.states import State

_EARLY = timedelta(days=1)
"""How long a cancel may wait for the news of what it cancels. They come by different queues, of which
one may stand still while the other is served; and an outbox is not emptied in order after a crash."""
_PAUSE = timedelta(seconds=5)

_log = structlog.get_logger(__name__)


def _unknown() -> None:
    """Return no time: there is no timer in this process."""


class Commands:
    """The handlers. Commands are carried out at once, even while a batch runs."""

    def __init__(
        self, installing: Installing, run_now: Callable[[], None], next_tick: Callable[[], datetime | None] = _unknown
    ) -> None:
        self._installing = installing
        self._run_now = run_now
        self._description = Description("installer", lambda uow: installing.facts(uow, next_tick()))

    def handlers(self) -> Handlers:
        return {
            InstallCancel: self.cancel,
            InstallRetry: self.retry,
            InstallResolve: self.resolve,
            TimerRunNow: self.run_now,
            TimerPause: self.pause,
            TimerResume: self.resume,
            ServerPause: self.pause_server,
            ServerResume: self.resume_server,
            SiteTypeConfigure: self._installing.site_types.configure,
            ServiceDescribe: self._description.answer,
            ServiceReplay: Replay("installer", INSTALLER_COMMANDS, INSTALLS, telling.tell).answer,
        }

    def cancel(self, uow: UnitOfWork[InstallRows], event: Event[InstallCancel]) -> Outcome:
        """Cancel an install that is not over; refuse otherwise. If it runs, or its site may stand, the command comes
        again until it is known whether that was in time. Cancel and claim lock the same row, so exactly one of them
        happens."""
        install = uow.rows.installs.get(event.data.install_id)
        match install:
            case None if _may_be_early(uow, event):
                early = INSTALL_CAUSES.cause("not_staged", "the cancel arrived before the install was known")
                return Retry(uow.now + _PAUSE, early)
            case Install(state=State.CANCELLED, ending=Ending(command_id=event.id)):
                return Done()  # it was told when the install ended
            case Install(state=State.CANCELLED) if event.source == ORDER_INTAKE:  # it waits to hear so
                uow.emit(telling.cancelled(install), install.order_id, event)
                return Done()
            case Install(state=state) if State.CANCELLED in TRANSITIONS[state]:
                if self._installing.later.end(uow, install, _ending(event)).state == State.CANCELLED:
                    return Done()
                return Retry(uow.now + _PAUSE, INSTALL_CAUSES.cause("ending", "it is being installed, or looked at"))
        return _refuse(uow, event, install)

    def retry(self, uow: UnitOfWork[InstallRows], event: Event[InstallRetry]) -> Outcome:
        """Stage the install again, due now, from its first attempt."""
        install = uow.rows.installs.get(event.data.install_id)
        if install is None or install.state not in (*PENDING, State.FAILED):
            return _refuse(uow, event, install)
        check_at = self._installing.later.overdue_at(install, uow.now)
        staged = uow.rows.installs.save(install.retried(check_at, uow.now, event.authid))
        self._installing.later.stage_again(uow, staged, event)
        _log.info("install.retried_by_staff", install_id=staged.install_id, order_id=staged.order_id)
        return Done()

    def resolve(self, uow: UnitOfWork[InstallRows], event: Event[InstallResolve]) -> Outcome:
        """Mark a failed install as dealt with by hand; refuse otherwise."""
        install = uow.rows.installs.get(event.data.install_id)
        if install is None or State.RESOLVED not in TRANSITIONS[install.state]:
            return _refuse(uow, event, install)
        resolved = uow.rows.installs.save(install.resolved(event.data.note, uow.now, event.authid))
        uow.emit(telling.resolved(resolved), resolved.order_id, event)
        _log.info("install.resolved", install_id=resolved.install_id, order_id=resolved.order_id)
        return Done()

    def pause(self, uow: UnitOfWork[InstallRows], event: Event[TimerPause]) -> Outcome:
        """Begin no batch any more, in whatever replica."""
        timer = uow.rows.timers.save(uow.rows.timer.paused(event.data.reason, uow.now))
        uow.emit(TimerPaused(since=timer.paused_since or uow.now, reason=timer.reason), None, event)
        _log.warning("timer.paused", reason=timer.reason)
        return Done()

    def resume(self, uow: UnitOfWork[InstallRows], event: Event[TimerResume]) -> Outcome:
        """Begin batches again."""
        uow.rows.timers.save(uow.rows.timer.resumed())
        uow.emit(TimerResumed(), None, event)
        _log.info("timer.resumed")
        return Done()

    def pause_server(self, uow: UnitOfWork[InstallRows], event: Event[ServerPause]) -> Outcome:
        """Begin no install on a server any more, in whatever replica."""
        if event.data.server not in self._installing.gate.servers:
            return self._refuse_server(uow, event)
        self._installing.gate.pause(uow, event)
        return Done()

    def resume_server(self, uow: UnitOfWork[InstallRows], event: Event[ServerResume]) -> Outcome:
        """Begin installs on a server again, paused or failing."""
        if event.data.server not in self._installing.gate.servers:
            return self._refuse_server(uow, event)
        self._installing.gate.resume(uow, event.data.server, event)
        return Done()

    def _refuse_server(self, uow: UnitOfWork[InstallRows], event: Event[Any]) -> Outcome:
        detail = f"{event.data.server} is none of the servers {', '.join(self._installing.gate.servers)}"
        return refuse_command(uow, event, None, detail, "see `sitecrew server list`", code="no_such_server")

    def run_now(self, _uow: UnitOfWork, _event: Event[TimerRunNow]) -> Outcome:
        self._run_now()
        return Done()


def _ending(event: Event[InstallCancel]) -> Ending:
    return Ending(reason=event.data.reason, by=event.authid, command_id=event.id, trace=trace_of(event))


def _refuse(uow: UnitOfWork, event: Event[Any], install: Install | None) -> Outcome:
    if install is None:
        advice = "see `sitecrew install list --state all`"
        return refuse_command(uow, event, None, "there is no such install", advice, code="no_such_install")
    return refuse_command(uow, event, install.order_id, f"it is {install.state}", _REMEDIES[install.state])


_REMEDIES = {
    State.STAGED: "it has not failed; `sitecrew install cancel` keeps it from running",
    State.WAITING: "it has not failed; `sitecrew install cancel` keeps it from running",
    State.INSTALLING: "wait until it has ended; `sitecrew install watch` shows when",
    State.INSTALLED: "to install the site again, use `sitecrew order reinstall`",
    State.RESOLVED: "staff have dealt with it; `sitecrew order reinstall` makes a new one",
    State.CANCELLED: "a cancelled install stays cancelled; `sitecrew order reinstall` makes a new one",
}
"""What to do instead, by the state in which an install cannot be cancelled, retried or resolved."""


def _may_be_early(uow: UnitOfWork, event: Event[InstallCancel]) -> bool:
    """Order intake cancels only what it has staged. Staff may have mistyped, and are told so at once."""
    return event.source == ORDER_INTAKE and event.time is not None and abs(uow.now - event.time) < _EARLY
