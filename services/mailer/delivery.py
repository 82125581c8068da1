"""The welcome letter: claimed, sent and recorded, once for each install."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog

from foundation.clock import Now
from foundation.config.keys import Opener
from foundation.config.queues import MAILER_INSTALLS
from foundation.config.settings import Settings
from foundation.errors import ConfigurationError, Failed
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.passwords import without
from foundation.telemetry.tracing import trace_of
from schemas.envelope import Event
from schemas.installs import InstallCompleted
from schemas.mails import MailFailed, MailSent
from schemas.orders import OrderAmended
from schemas.values import Cause, CauseKind
from services.mailer import customers, limits, mails
from services.mailer.causes import CAUSES
from services.mailer.letter.content import Welcome
from services.mailer.letter.envelope import Letter
from services.mailer.letter.filling import welcome_of
from services.mailer.letter.rendering import Letters
from services.mailer.mails import Mail, State

Send = Callable[[Letter], None]
"""Hands a letter to a mail server. Raises Failed."""

_log = structlog.get_logger(__name__)


class Welcoming:
    """The mailer's handler for completed installs."""

    def __init__(self, settings: Settings, letters: Letters, send: Send, opener: Opener, now: Now) -> None:
        self._settings = settings
        self._letters = letters
        self._deliver = send
        self._opener = opener
        self._now = now
        self.longest = 60.0 + settings.mailer.smtp.deadline_seconds
        """Seconds that a letter may take once it has a thread; one that takes longer hangs, and is left to others."""
        self.leases = Leases(self.longest, key="install_id", fence="attempt")

    def handlers(self) -> Handlers:
        return {InstallCompleted: self.welcome, OrderAmended: self.amend}

    def welcome(self, uow: UnitOfWork, event: Event[InstallCompleted]) -> Outcome | Effect:
        """Claim the install's letter and send it. After a crash between the SMTP server's yes and our
        record it is sent again: a customer without credentials is the worse outcome."""
        completed = customers.corrected(uow, event.data)
        site = self._settings.sites.get(completed.site.site_type)
        wanted = site is None or site.welcome_email
        entered = mails.enter(uow, completed, State.WAITING if wanted else State.SUPPRESSED, trace_of(event))
        mail = entered or mails.find(uow, completed.install_id)
        if mail is None or mail.rests(uow.now):
            return Done()  # what sends it, or will, is told by its row: see `wake_stale`
        if mail.state in (State.SENT, State.FAILED):
            return self._answer(uow, mail, event)
        if mail.state == State.SENDING and mail.attempts_now >= self._settings.mailer.max_attempts:
            return self._fail(uow, mail, event, _SENDER_LOST)
        claimed = mails.claim(uow, mail)
        if claimed is None:
            if mails.outdated(uow, mail):
                _log.info("mail.outdated", **_names(mail))
            return Done()
        if free_at := self._full_until(uow, claimed):
            return self._hold(uow, claimed, self._too_many(claimed), free_at)
        return Effect(claimed, self._send, self._record, self._fail, self._release)

    def amend(self, uow: UnitOfWork, event: Event[OrderAmended]) -> Outcome:
        """Whatever is sent of this order from now on goes to the customer as he is now."""
        order_id, customer = event.data.order_id, event.data.customer
        if customers.amend(uow, order_id, customer, event.time or uow.now):
            mails.amend(uow, order_id, customer)
            _log.info("mail.amended", order_id=order_id)
        return Done()

    def _full_until(self, uow: UnitOfWork, mail: Mail) -> datetime | None:
        """When the recipient may have this letter, if not now. What staff send again is not counted."""
        if mail.resends:
            return None
        return limits.take(uow, mail.completed.customer.email, self._settings.limits.letters_per_hour)

    def _too_many(self, mail: Mail) -> Cause:
        per_hour = self._settings.limits.letters_per_hour
        detail = f"{mail.completed.customer.email} has had {per_hour} letters within an hour"
        return CAUSES.cause("letters_limit", detail)

    def _hold(self, uow: UnitOfWork, mail: Mail, cause: Cause, until: datetime) -> Outcome:
        """Let a letter wait for what is neither its own fault nor the mail server's."""
        if mails.held(uow, mail, cause, until) is None:
            return Done()
        _log.warning("mail.held", **_names(mail), cause=cause.code, reason=cause.detail, due_at=until)
        return Retry(until, cause)

    def _give_back(self, uow: UnitOfWork, mail: Mail) -> None:
        """The recipient has not had the letter that was counted."""
        if mail.claimed_at and not mail.resends and self._settings.limits.letters_per_hour:
            limits.give_back(uow, mail.completed.customer.email, mail.claimed_at)

    def _answer(self, uow: UnitOfWork, mail: Mail, event: Event[InstallCompleted]) -> Outcome:
        """Say once more what became of the letter to an installer that has not heard it, and asks."""
        if event.source == uow.source or event.time is None or event.time <= mail.created_at:
            return Done()  # a late copy of what the letter was sent for
        if mail.state == State.SENT:
            uow.emit(_sent(mail, mail.message_id or ""), mail.completed.order_id, event)
        elif mail.cause:
            uow.emit(self._failed(mail, mail.cause), mail.completed.order_id, event)
        return Done()

    def wake_stale(self, database: Database) -> None:
        """Deliver letters again that no message has moved in time."""
        with database.begin() as uow:
            for mail in mails.stale(uow):
                lost = mail.state == State.SENDING
                uow.redeliver(mail.completed, MAILER_INSTALLS, mail.completed.order_id, mail.trace, suspect=lost)

    def reopen(self, database: Database) -> None:
        """Send what could not be opened, now that its key is here: a mailer with other keys has failed it."""
        with database.begin() as uow:
            for mail in mails.unopened(uow):
                if self._opens(mail) and mails.reopened(uow, mail):
                    uow.redeliver(mail.completed, MAILER_INSTALLS, mail.completed.order_id, mail.trace)
                    _log.info("mail.reopened", **_names(mail))

    def _opens(self, mail: Mail) -> bool:
        try:
            self._letter(mail)
        except Failed:
            return False
        return True

    def renew_leases(self, database: Database) -> None:
        """Tell the table that we are still at work on what we have claimed, however slow the mail server."""
        if held := self.leases.held():
            with database.begin() as uow:
                mails.renew(uow, held)

    def _send(self, mail: Mail) -> str:
        """Render and send; the letter's Message-ID."""
        letter = self._letters.render(self._letter(mail), self._now())
        try:
            self._deliver(letter)
        except Failed as failure:  # a filter may quote the line it dislikes, in whatever language
            detail = without(letter.secrets, failure.cause.detail)
            raise Failed(failure.cause.model_copy(update={"detail": detail})) from None
        return letter.message_id

    def _letter(self, mail: Mail) -> Welcome:
        return welcome_of(mail.completed, self._settings, self._opened, mail.resends)

    def _opened(self, sealed: str) -> str:
        try:
            return self._opener.open(sealed)
        except ConfigurationError as error:
            raise CAUSES.failed("wrong_key", str(error)) from None

    def _release(self, uow: UnitOfWork, mail: Mail, _event: Event[InstallCompleted]) -> Outcome:
        self._give_back(uow, mail)
        mails.given_back(uow, mail)
        return Retry(uow.now, _STOPPING)

    def _record(self, uow: UnitOfWork, mail: Mail, event: Event[InstallCompleted], message_id: str) -> Outcome:
        if mails.sent(uow, mail, message_id):
            uow.emit(_sent(mail, message_id), mail.completed.order_id, event)
            _log.info("mail.sent", **_names(mail))
        return Done()

    def _fail(self, uow: UnitOfWork, mail: Mail, event: Event[InstallCompleted], cause: Cause) -> Outcome:
        own = self._settings.mailer
        if cause.code not in _PERHAPS_SENT:
            self._give_back(uow, mail)
        if cause.kind == CauseKind.TRANSIENT and mail.attempts_now < own.max_attempts:
            pause = min(own.retry_longest_seconds, own.retry_first_seconds * 2 ** (mail.attempts_now - 1))
            due_at = uow.now + timedelta(seconds=pause * random.uniform(0.8, 1.2))
            return Retry(due_at, cause) if mails.again(uow, mail, cause, due_at) else Done()
        if mails.failed(uow, mail, cause):
            uow.emit(self._failed(mail, cause), mail.completed.order_id, event)
            _log.error("mail.failed", **_names(mail), cause=cause.code, reason=cause.detail, remedy=cause.remedy)
        return Done()

    def _failed(self, mail: Mail, cause: Cause) -> MailFailed:
        ref, recipient = _ref(mail.completed), mail.completed.customer.email
        attempts = self._settings.mailer.max_attempts
        return MailFailed(
            **ref, recipient=recipient, cause=cause, max_attempts=attempts, next=after_failure(mail, cause)
        )


def after_failure(mail: Mail, cause: Cause) -> str:
    """What becomes of a letter that has failed."""
    if cause.code == "wrong_key":
        return "sent automatically once a mailer has the key for it"
    tries = f"all {mail.attempts_now} attempts failed; " if mail.attempts_now > 1 else ""
    return f"{tries}not retried automatically; once the cause is fixed: `sitecrew mail resend {mail.install_id}`"


_PERHAPS_SENT = frozenset({"smtp_interrupted", "smtp_timeout"})
_STOPPING = CAUSES.cause("stopping", "the mailer that had this letter was told to stop before its turn came")
_SENDER_LOST = CAUSES.cause(
    "worker_lost", "every worker that was to send this letter ended before it could say how that went"
)


def _sent(mail: Mail, message_id: str) -> MailSent:
    recipient = mail.completed.customer.email
    return MailSent(**_ref(mail.completed), recipient=recipient, message_id=message_id, resends=mail.resends)


def _ref(completed: InstallCompleted) -> dict[str, Any]:
    return completed.model_dump(include={"install_id", "order_id", "generation"})


def _names(mail: Mail) -> dict[str, object]:
    return {"order_id": mail.completed.order_id, "install_id": mail.install_id, "attempt": mail.attempt}
