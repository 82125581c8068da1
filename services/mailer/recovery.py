"""Recovery sweeps: mails that no message has moved in time, and mails whose key has become available."""

from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import Connection, func, select

from foundation.config.queues import MAILER_INSTALLS
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.store import lease
from foundation.store.search import has_cause
from services.mailer.delivery import put_off
from services.mailer.mails import Mail, mails
from services.mailer.rows import MailRows
from services.mailer.states import State

_AT_ONCE = 100

_log = structlog.get_logger(__name__)


def wake_stale(database: Database[MailRows]) -> None:
    """Redeliver the mails that should have moved by now."""
    database.sweep(_stale, _wake)


def _wake(uow: UnitOfWork[MailRows]) -> None:
    for mail in uow.rows.mails.all():
        if mail.check_at and mail.check_at < uow.now:
            uow.rows.mails.save(mail.looked_at(uow.now))
            lost = mail.state == State.SENDING
            uow.redeliver(mail.completed, MAILER_INSTALLS, mail.order_id, mail.trace, suspect=lost)


def reopen(database: Database[MailRows], opens: Callable[[Mail], bool]) -> None:
    """Send the mails that a mailer with other keys could not decrypt, if this one can."""

    def look(uow: UnitOfWork[MailRows]) -> None:
        for mail in uow.rows.mails.all():
            if not _is_unopened(mail) or mail.is_outdated(uow.rows.mails.of(mail.order_id)) or not opens(mail):
                continue
            put_off(uow, mail.reopened(uow.now), mail.trace)
            uow.redeliver(mail.completed, MAILER_INSTALLS, mail.order_id, mail.trace)
            _log.info("mail.reopened", **mail.names)

    database.sweep(_unopened, look)


def _stale(connection: Connection, now: datetime) -> list[str]:
    return lease.overdue(connection, mails, "order_id", now, _AT_ONCE)


def _unopened(connection: Connection, _now: datetime) -> list[str]:
    """In any order: a hundred whose key is gone for good must not keep the others waiting."""
    unopened = select(mails.c.order_id).where(mails.c.state == State.FAILED, has_cause(mails.c.cause, ["wrong_key"]))
    return list(connection.execute(unopened.order_by(func.random()).limit(_AT_ONCE)).scalars())


def _is_unopened(mail: Mail) -> bool:
    return mail.state == State.FAILED and mail.cause is not None and mail.cause.code == "wrong_key"
