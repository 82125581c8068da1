"""The recovery sweep, and what the mailer reports: installs that have stalled are moved on or announced again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from foundation.handling.outcomes import Done, Handlers, Outcome
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.store import lease
from schemas.envelope import Event
from schemas.mails import MailFailed, MailSent, MailSuppressed, MailWaiting
from schemas.values import Model
from services.installer.causes import INSTALL_CAUSES
from services.installer.install import Installing
from services.installer.installs import ASLEEP, OVERDUE, Install, installs
from services.installer.pausing import paused_since
from services.installer.rows import InstallRows
from services.installer.servers.standing import waiting_to_be_looked_at
from services.installer.servers.waking import with_sleepers
from services.installer.states import MailState, State, WaitingFor

_ASKING = timedelta(days=7)
"""How long the mailer is asked for the mail of an installed site."""
_AT_A_TIME = 100

_log = structlog.get_logger(__name__)


class Recovery:
    """Moves on the installs that no message has moved in time."""

    def __init__(self, installing: Installing) -> None:
        self._installing = installing

    def recover(self, database: Database[InstallRows]) -> None:
        """Run the sweep once. Any number of replicas may do so at a time."""
        with database.store.reading() as connection:
            is_paused = paused_since(connection) is not None
            neglected = {*with_sleepers(connection), *waiting_to_be_looked_at(connection, database.now())}
        if neglected:
            with database.begin() as uow:
                for server in sorted(neglected):
                    self._installing.gate.look(uow, server)
        database.sweep(_overdue, lambda uow: self._look_around(uow, is_paused=is_paused))

    def _look_around(self, uow: UnitOfWork[InstallRows], *, is_paused: bool) -> None:
        for install in uow.rows.installs.all():
            if install.check_at and install.check_at < uow.now:
                self._look_after(uow, install, is_paused=is_paused)

    def _look_after(self, uow: UnitOfWork[InstallRows], install: Install, *, is_paused: bool) -> None:
        match install.state:
            case State.INSTALLING:
                lost = INSTALL_CAUSES.cause(
                    "worker_lost", f"the worker {install.lease_owner} ended, or lost its database"
                )
                _log.warning("install.worker_lost", install_id=install.install_id, owner=install.lease_owner)
                self._installing.later.attempt_failed(uow, install, lost, install.trace)
            case State.WAITING if install.cause and _has_slept_enough(install, uow.now):
                self._installing.later.give_up(uow, install, install.cause, install.trace)
            case State.WAITING if install.is_asleep:
                uow.rows.installs.save(install.watched(uow.now + ASLEEP))
                self._installing.gate.look(uow, install.server)
            case State.STAGED | State.WAITING if is_paused and self._installing.later.stages(install):
                uow.rows.installs.save(install.watched(self._installing.later.after_next_batch(uow.now)))
            case State.STAGED | State.WAITING:
                _log.warning("install.overdue", install_id=install.install_id, due_at=install.due_at)
                uow.rows.installs.save(install.watched(self._installing.later.after_next_batch(uow.now)))
                self._installing.later.deliver_again(uow, install)
            case State.INSTALLED if install.completed and _awaits_news(install, uow.now):
                uow.rows.installs.save(install.watched(uow.now + OVERDUE))
                if _may_ask(uow, install):
                    _log.warning("install.completed_again", install_id=install.install_id)
                    uow.emit(install.completed, install.order_id, install.trace)
            case _:
                uow.rows.installs.save(install.watched(None))

    def mails(self) -> Handlers:
        """Handlers of the mailer's events: an install's row also says what became of its mail."""
        return {MailWaiting: self.mail_waits, **dict.fromkeys(_ENDS, self.mail_ended)}

    def mail_waits(self, uow: UnitOfWork[InstallRows], event: Event[MailWaiting]) -> Outcome:
        """Note that a mail which had come to an end is on its way again, so the mailer is asked for it again."""
        if (mail := uow.rows.mails.get(event.data.install_id)) and mail.mail_state != MailState.WAITING:
            uow.rows.mails.save(mail.on_its_way(uow.now + OVERDUE))
        return Done()

    def mail_ended(self, uow: UnitOfWork[InstallRows], event: Event[Any]) -> Outcome:
        """Note what became of the mail; the mailer is asked no more."""
        if mail := uow.rows.mails.get(event.data.install_id):
            uow.rows.mails.save(mail.told(_ENDS[type(event.data)], getattr(event.data, "cause", None)))
        return Done()


_ENDS: Mapping[type[Model], MailState] = {
    MailSent: MailState.SENT,
    MailFailed: MailState.FAILED,
    MailSuppressed: MailState.OFF,
}


def _overdue(connection: Connection, now: datetime) -> set[str]:
    """Some of each kind: what one has many of does not keep the others waiting."""
    return {
        order
        for state in (State.INSTALLING, State.STAGED, State.WAITING, State.INSTALLED)
        for order in lease.overdue(connection, installs, "order_id", now, _AT_A_TIME, installs.c.state == state)
    }


def _has_slept_enough(install: Install, now: datetime) -> bool:
    return install.is_asleep and install.waiting_for == WaitingFor.SERVER and install.has_waited_enough(now)


def _awaits_news(install: Install, now: datetime) -> bool:
    """Whether the mailer has not told yet what became of the mail, and is asked: for a week."""
    recent = install.finished_at is not None and install.finished_at > now - _ASKING
    return install.mail_state == MailState.WAITING and recent


def _may_ask(uow: UnitOfWork[InstallRows], install: Install) -> bool:
    """Whether no void credentials go out if the mailer has never heard of this mail: the site is in its place, or the
    mailer has told of the mail of a newer one."""
    newer = [
        other.mail_state
        for other in uow.rows.siblings(install)
        if other.generation > install.generation and other.state == State.INSTALLED
    ]
    return not newer or MailState.SENT in newer or MailState.FAILED in newer
