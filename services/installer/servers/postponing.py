"""What becomes of an install that does not go on now: it waits, is tried again, fails or is cancelled."""

from datetime import datetime, timedelta

import structlog

from foundation.config.queues import installs_queue
from foundation.config.settings import Settings
from foundation.handling.backoff import Backoff, Retries
from foundation.handling.outcomes import Done, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.site_types import SiteTypes
from foundation.telemetry.tracing import Origin
from schemas.values import Cause
from services.installer import telling
from services.installer.causes import RETRIED, RETRY
from services.installer.installs import OVERDUE, Install
from services.installer.rows import InstallRows
from services.installer.servers.gate import Gate, Missing
from services.installer.servers.requirements import WAITS_FOR
from services.installer.states import State, WaitingFor

_log = structlog.get_logger(__name__)


class Postponing:
    """Has installs come again at their time."""

    def __init__(self, settings: Settings, site_types: SiteTypes, longest: float) -> None:
        """`longest` is how many seconds an install may take."""
        own = settings.installer
        first, last = (timedelta(seconds=pause) for pause in (own.retry_first_seconds, own.retry_longest_seconds))
        self._timer = settings.timer
        self._site_types = site_types
        self._patience = timedelta(hours=own.waiting_hours)
        self._retries = Retries(own.max_attempts, Backoff(first, last), RETRY, RETRIED)
        self.gate = Gate(settings, longest, self.queue_of, self.overdue_at)

    def wait(
        self, uow: UnitOfWork[InstallRows], install: Install, what: WaitingFor, cause: Cause, event: Origin
    ) -> Outcome:
        """Have an install wait for what is missing, and tell so once; if it has waited too long, it fails."""
        if what != WaitingFor.CAPACITY and install.has_waited_enough(uow.now):
            return self.give_up(uow, install, cause, event)
        until = None if what == WaitingFor.CAPACITY else uow.now + self._patience
        again_at = self._look_again_at(install, what, uow.now)
        check_at = self.overdue_at(install.site_type, again_at) if again_at else None
        waits = install.waits(what, cause, uow.now, until=until, again_at=again_at, check_at=check_at)
        waits = uow.rows.installs.save(waits)
        if again_at:
            uow.redeliver(telling.staged(waits), self.queue_of(install), waits.order_id, waits.trace, at=again_at)
        if (install.state, install.waiting_for) != (State.WAITING, what):
            uow.emit(telling.waiting(waits), waits.order_id, event)
            _log.info("install.waiting", **names(waits), cause=cause.code, reason=cause.detail)
        return Done()

    def _look_again_at(self, install: Install, what: WaitingFor, now: datetime) -> datetime | None:
        """Return when to look for what is missing: after as long as it has been missing, within the bounds of pauses
        between attempts. None for an install that its server wakes."""
        if what in (WaitingFor.CAPACITY, WaitingFor.SERVER):
            return None
        missed = now - install.waiting_since if install.waiting_since and install.waiting_for == what else None
        backoff = self._retries.backoff
        pause = min(max(missed or backoff.first, backoff.first), backoff.longest)
        return min(now + pause, install.waiting_until or now + pause)

    def deliver_again(self, uow: UnitOfWork[InstallRows], install: Install) -> None:
        """Deliver once more what nobody has begun in time."""
        if install.state == State.STAGED:
            self.stage_again(uow, install, install.trace)
        else:
            uow.redeliver(telling.staged(install), self.queue_of(install), install.order_id, install.trace)

    def stage_again(self, uow: UnitOfWork, install: Install, cause: Origin) -> None:
        """Publish that the install is staged (as its row now says), and wake it at its time."""
        event = uow.emit(telling.staged(install), install.order_id, cause)
        suspect = install.cause is not None and install.cause.code == "worker_lost"
        uow.deliver(event, self.queue_of(install), install.due_at, suspect=suspect)

    def after_next_batch(self, now: datetime) -> datetime:
        """Return when a batch should at the latest have taken what is due now."""
        return self._timer.first_tick(now) + OVERDUE

    def overdue_at(self, site_type: str, due_at: datetime) -> datetime:
        """Return when an install that is due then should at the latest have been taken."""
        return self._site_types.begins_at(site_type, due_at) + OVERDUE

    def queue_of(self, install: Install) -> str:
        """Return the queue in which an install comes due: the timer's or the immediate one, of its priority."""
        return installs_queue(install.staged.priority, is_staged=self._site_types.stages(install.site_type))

    def attempt_failed(self, uow: UnitOfWork[InstallRows], install: Install, cause: Cause, event: Origin) -> None:
        """Stage another attempt after a pause if the cause is transient and attempts are left; else fail for good. If
        its server is known to fail, or something else is missing, wait for that. One that was to end is cancelled; if
        its worker was lost, once the next attempt has looked what that has left."""
        missing: Missing | None
        if what := WAITS_FOR.get(cause.code):
            self.gate.gave_back(uow, install)
            missing = what, cause
        else:
            missing = self.gate.failed(uow, install, cause, event)
        if (wanted := install.cancelling) and cause.code != "worker_lost":
            cancel(uow, install, wanted.reason, wanted.trace, wanted.by)
            return
        if missing:
            self.wait(uow, install, *missing, event)
            return
        pause = self._retries.pause(cause, install.attempt)
        if pause is None:
            self.give_up(uow, install, cause, event)
            return
        due_at = uow.now + pause
        check_at = self.overdue_at(install.site_type, due_at)
        staged = uow.rows.installs.save(install.staged_again(cause, due_at, check_at, uow.now))
        self.stage_again(uow, staged, event)
        _log.warning("install.retry", **names(staged), cause=cause.code, reason=cause.detail, due_at=due_at)

    def give_up(self, uow: UnitOfWork[InstallRows], install: Install, cause: Cause, event: Origin) -> Outcome:
        """Fail for good."""
        over = uow.rows.installs.save(install.failed(cause, self._retries.limit(cause), uow.now))
        uow.emit(telling.failed(over), over.order_id, event)
        _log.error("install.failed", **names(over), cause=cause.code, reason=cause.detail, remedy=cause.remedy)
        return Done()


def cancel(uow: UnitOfWork[InstallRows], install: Install, reason: str, cause: Origin, by: str | None = None) -> None:
    """Cancel an install, and tell so."""
    cancelled = uow.rows.installs.save(install.cancelled(reason, uow.now, by))
    uow.emit(telling.cancelled(cancelled), cancelled.order_id, cause)
    _log.info("install.cancelled", install_id=cancelled.install_id, order_id=cancelled.order_id, reason=reason)


def names(install: Install) -> dict[str, object]:
    """Return the names of an install in the log."""
    return {"order_id": install.order_id, "install_id": install.install_id, "attempt": install.current_attempt}
