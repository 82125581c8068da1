"""What staff can tell the installer to do."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from foundation.handling.commands import refuse
from foundation.handling.outcomes import Done, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.description import Description
from schemas.envelope import Event
from schemas.installs import InstallCancel, InstallCancelled, InstallRetry, TimerRunNow
from schemas.services import ServiceDescribe
from services.installer import installs, moves
from services.installer.causes import WAITING
from services.installer.install import Installing
from services.installer.states import State

_INTAKE = "/sitecrew/order-intake"
_EARLY = timedelta(days=1)
"""How long a cancel may wait for the news of what it cancels. They come by different queues, of which
one may stand still while the other is served; and an outbox is not emptied in order after a crash."""
_PAUSE = timedelta(seconds=5)

_log = structlog.get_logger(__name__)


def _unknown() -> None:
    """No timer runs in this process."""


class Commands:
    """The control lane: carried out at once, whatever the batches are doing."""

    def __init__(
        self, installing: Installing, run_now: Callable[[], None], next_tick: Callable[[], datetime | None] = _unknown
    ) -> None:
        self._installing = installing
        self._run_now = run_now
        self._description = Description("installer", lambda: installing.facts(next_tick()))

    def handlers(self) -> Handlers:
        return {
            InstallCancel: self.cancel,
            InstallRetry: self.retry,
            TimerRunNow: self.run_now,
            ServiceDescribe: self._description.answer,
        }

    def cancel(self, uow: UnitOfWork, event: Event[InstallCancel]) -> Outcome:
        """Race-free: either the cancel or the worker's claim changes the row, never both."""
        install = installs.find(uow.connection, event.data.install_id)
        if install is None and _may_be_early(uow, event):
            return Retry(
                uow.now + _PAUSE, WAITING.cause("not_staged", "the cancel came before the news of the install")
            )
        if install and install.state == State.CANCELLED and event.source == _INTAKE:  # it has not heard so, and waits
            gone = InstallCancelled(**install.ref.model_dump(), reason=install.reason or event.data.reason)
            uow.emit(gone, install.order_id, event)
            return Done()
        cancelled = install and moves.cancel(uow, install, event.data.reason, event.authid)
        if cancelled is None:
            return _refuse(uow, event)
        gone = InstallCancelled(**cancelled.ref.model_dump(), reason=event.data.reason)
        uow.emit(gone, cancelled.order_id, event)
        _log.info("install.cancelled", install_id=cancelled.install_id, order_id=cancelled.order_id)
        return Done()

    def retry(self, uow: UnitOfWork, event: Event[InstallRetry]) -> Outcome:
        """Again, from the first attempt."""
        install = installs.find(uow.connection, event.data.install_id)
        if install is None:
            return _refuse(uow, event)
        overdue_at = self._installing.overdue_at(install.site_type, uow.now)
        staged = moves.retry(uow, install, overdue_at, event.authid)
        if staged is None:
            return _refuse(uow, event)
        self._installing.stage_again(uow, staged, event)
        _log.info("install.retried_by_staff", install_id=staged.install_id, order_id=staged.order_id)
        return Done()

    def run_now(self, _uow: UnitOfWork, _event: Event[TimerRunNow]) -> Outcome:
        self._run_now()
        return Done()


def _refuse(uow: UnitOfWork, event: Event[InstallCancel] | Event[InstallRetry]) -> Outcome:
    install = installs.find(uow.connection, event.data.install_id)
    if install is None:
        return refuse(
            uow,
            event,
            None,
            "there is no such install",
            "see `sitecrew install list --state all`",
            code="no_such_install",
        )
    return refuse(uow, event, install.order_id, f"it is {install.state}", _REMEDIES[install.state])


_REMEDIES = {
    State.STAGED: "see `sitecrew install show`: it has changed just now",
    State.INSTALLING: "wait until it has ended, which `sitecrew install watch` shows",
    State.INSTALLED: "an installed site is installed anew with `sitecrew order reinstall`",
    State.FAILED: "see `sitecrew install show`: it has changed just now",
    State.CANCELLED: "a cancelled install stays so; `sitecrew order reinstall` makes a new one",
}
"""What to do about a command that the install's state does not allow."""


def _may_be_early(uow: UnitOfWork, event: Event[InstallCancel]) -> bool:
    """Order intake cancels only what it has staged. Staff may have mistyped, and are told so at once."""
    return event.source == _INTAKE and event.time is not None and abs(uow.now - event.time) < _EARLY
