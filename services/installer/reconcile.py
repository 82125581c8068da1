"""What brings back work that a crash or a lost broker has left lying."""

import structlog

from foundation.handling.outcomes import Done, Handlers, Outcome
from foundation.handling.unit_of_work import Database, UnitOfWork
from schemas.envelope import Event
from schemas.mails import MailFailed, MailSent
from services.installer import moves
from services.installer.causes import WAITING
from services.installer.install import Installing

_log = structlog.get_logger(__name__)


class Reconciler:
    """Looks for installs whose row and whose messages have come apart."""

    def __init__(self, installing: Installing) -> None:
        self._installing = installing

    def recover(self, database: Database) -> None:
        """One round; how often is up to the caller. Any number of replicas may do this."""
        with database.begin() as uow:
            for install in moves.lost(uow):
                lost = WAITING.cause("worker_lost", f"the worker {install.lease_owner} ended, or lost its database")
                _log.warning("install.worker_lost", install_id=install.install_id, owner=install.lease_owner)
                self._installing.attempt_failed(uow, install, lost, install.trace)
            for install in moves.overdue(uow, self._installing.after_next_batch(uow.now)):
                _log.warning("install.overdue", install_id=install.install_id, due_at=install.due_at)
                self._installing.stage_again(uow, install, install.trace)
            for install in moves.unmailed(uow):
                if install.completed:
                    _log.warning("install.completed_again", install_id=install.install_id)
                    uow.emit(install.completed, install.order_id, install.trace)

    def mails(self) -> Handlers:
        """The mailer's answers, kept in the install's row: its letter's outcome is part of its story."""
        return {MailSent: self.mail_sent, MailFailed: self.mail_failed}

    def mail_sent(self, uow: UnitOfWork, event: Event[MailSent]) -> Outcome:
        moves.note_letter(uow, event.data.install_id, "sent", None)
        return Done()

    def mail_failed(self, uow: UnitOfWork, event: Event[MailFailed]) -> Outcome:
        moves.note_letter(uow, event.data.install_id, "failed", event.data.cause)
        return Done()
