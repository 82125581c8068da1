"""What becomes of an install that does not go on now: it waits, is tried again, fails or is cancelled."""

from datetime import datetime, timedelta

import structlog

from foundation.config.queues import installs_queue
from foundation.config.settings import Settings
from foundation.handling.backoff import Backoff, Retries
from foundation.handling.outcomes import Done, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.site_types import SiteTypes
from foundation.telemetry.tracing import Origin, trace_of
from schemas.values import Cause
from services.installer import telling
from services.installer.causes import RETRIED, RETRY
from services.installer.installs import OVERDUE, Ending, Install
from services.installer.rows import InstallRows
from services.installer.servers.gate import Gate, Missing
from services.installer.servers.requirements import WAITS_FOR
from services.installer.states import State, WaitingFor

_HAVE_LOOKED = frozenset({"cancelled", "superseded"})
"""How attempts end that have looked, or behind which another has, for what a lost worker left."""

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
        """Have an install wait for what is missing, and tell so once; if it has waited too long, it fails. One that is
        only looked at before it ends waits for as long as it takes."""
        if what != WaitingFor.CAPACITY and install.has_waited_enough(uow.now):
            self.give_up(uow, install, cause, event)
            return Done()
        until = None if what == WaitingFor.CAPACITY or install.ending else uow.now + self._patience
        again_at = self._look_again_at(install, what, uow.now)
        check_at = self.overdue_at(install, again_at) if again_at else None
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
        uow.deliver(event, self.queue_of(install), install.due_at, suspect=install.may_stand)

    def after_next_batch(self, now: datetime) -> datetime:
        """Return when a batch should at the latest have taken what is due now."""
        return self._timer.first_tick(now) + OVERDUE

    def stages(self, install: Install) -> bool:
        """Whether the install waits for the timer's batch. What is only looked at before it ends does not."""
        return install.ending is None and self._site_types.stages(install.site_type)

    def overdue_at(self, install: Install, due_at: datetime) -> datetime:
        """Return when an install that is due then should at the latest have been taken."""
        return (self._timer.first_tick(due_at) if self.stages(install) else due_at) + OVERDUE

    def queue_of(self, install: Install) -> str:
        """Return the queue in which an install comes due: the timer's or the immediate one, of its priority."""
        return installs_queue(install.staged.priority, is_staged=self.stages(install))

    def attempt_failed(self, uow: UnitOfWork[InstallRows], install: Install, cause: Cause, event: Origin) -> None:
        """Stage another attempt after a pause if the cause is transient and attempts are left; else fail for good. If
        its server is known to fail, or something else is missing, wait for that. One that was to end does."""
        missing: Missing | None
        if what := WAITS_FOR.get(cause.code):
            self.gate.gave_back(uow, install)
            missing = what, cause
        else:
            missing = self.gate.failed(uow, install, cause, event)
        if install.ending:
            self._attempt_ended(uow, install, cause, event)
        elif missing:
            self.wait(uow, install, *missing, event)
        elif (pause := self._retries.pause(cause, install.attempt)) is not None:
            self._try_again(uow, install, cause, pause, event)
        else:
            self._attempt_ended(uow, install.wanted(_failing(cause, event)), cause, event)

    def _try_again(
        self, uow: UnitOfWork[InstallRows], install: Install, cause: Cause, pause: timedelta, event: Origin
    ) -> None:
        due_at = uow.now + pause
        check_at = self.overdue_at(install, due_at)
        staged = uow.rows.installs.save(install.staged_again(cause, due_at, check_at, uow.now))
        self.stage_again(uow, staged, event)
        _log.warning("install.retry", **names(staged), cause=cause.code, reason=cause.detail, due_at=due_at)

    def _attempt_ended(self, uow: UnitOfWork[InstallRows], install: Install, cause: Cause, event: Origin) -> None:
        """End an install as it is to, unless its site may stand and this attempt has not looked for it: then another
        one looks, as long as there would be attempts, but once at least."""
        if cause.code in _HAVE_LOOKED:
            install = install.looked(uow.now)
        pause = self._retries.pause(cause, install.attempt) if install.only_looks else timedelta(0)
        if pause is not None and (install.may_stand or cause.code == "worker_lost"):
            self._try_again(uow, install, cause, pause, event)
        else:
            self._over(uow, install)

    def end(self, uow: UnitOfWork[InstallRows], install: Install, ending: Ending) -> Install:
        """Cancel an install, or have it fail; return what it is then. A running one ends before its next step."""
        wanted = uow.rows.installs.save(install.wanted(ending))
        if install.ending or install.state == State.INSTALLING:
            return wanted
        return self.finish(uow, wanted, ending.trace)

    def finish(self, uow: UnitOfWork[InstallRows], install: Install, event: Origin) -> Install:
        """End an install as it is to; return what it is then. If its site may stand, it ends once an attempt has looked
        for that, which begins at once and counts for none."""
        if not install.may_stand:
            return self._over(uow, install)
        staged = uow.rows.installs.save(install.to_be_looked_at(uow.now, self.overdue_at(install, uow.now)))
        self.stage_again(uow, staged, event)
        return staged

    def give_up(self, uow: UnitOfWork[InstallRows], install: Install, cause: Cause, event: Origin) -> None:
        """Fail for good."""
        self.finish(uow, install.wanted(_failing(cause, event)), event)

    def _over(self, uow: UnitOfWork[InstallRows], install: Install) -> Install:
        match install.ending:
            case Ending(cause=None) as wanted:
                over = uow.rows.installs.save(install.cancelled(wanted.reason, uow.now, wanted.by))
                uow.emit(telling.cancelled(over), over.order_id, wanted.trace)
                _log.info("install.cancelled", **names(over), reason=wanted.reason)
                return over
            case Ending(cause=Cause() as cause) as wanted:
                over = uow.rows.installs.save(install.failed(cause, self._retries.limit(cause), uow.now))
                uow.emit(telling.failed(over), over.order_id, wanted.trace)
                _log.error("install.failed", **names(over), cause=cause.code, reason=cause.detail, remedy=cause.remedy)
                return over
        return install


def _failing(cause: Cause, event: Origin) -> Ending:
    return Ending(cause=cause, trace=trace_of(event))


def names(install: Install) -> dict[str, object]:
    """Return the names of an install in the log."""
    return {"order_id": install.order_id, "install_id": install.install_id, "attempt": install.current_attempt}
