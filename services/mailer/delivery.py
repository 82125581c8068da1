"""The mailer's handlers for events: claim, send and record one welcome email per install."""

from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage

import structlog

from foundation.clock import Now
from foundation.config.keys import Opener
from foundation.config.settings import Settings
from foundation.errors import ConfigurationError, Failed
from foundation.handling.backoff import Backoff, Retries
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.passwords import without
from foundation.service.site_types import SiteTypes
from foundation.store.lease import Terms, this_process
from foundation.telemetry.tracing import Origin, trace_of
from schemas.envelope import Event
from schemas.installs import InstallCompleted
from schemas.orders import OrderAmended
from schemas.values import Cause
from services.mailer import telling
from services.mailer.causes import MAIL_CAUSES
from services.mailer.customers import Corrected
from services.mailer.letter.content import Welcome
from services.mailer.letter.envelope import Letter
from services.mailer.letter.filling import MASK, welcome_of
from services.mailer.letter.rendering import Letters
from services.mailer.mails import LEASE, MAILS, Mail
from services.mailer.rows import MailRows
from services.mailer.states import State

Send = Callable[[Letter], None]
"""Hands a letter to a mail server. Raises Failed."""

_log = structlog.get_logger(__name__)


class Welcoming:
    """The handlers of completed installs and corrected customers."""

    def __init__(self, settings: Settings, letters: Letters, send: Send, opener: Opener, now: Now) -> None:
        self._settings = settings
        self.site_types = SiteTypes("mailer", settings)
        self._per_hour = settings.limits.letters_per_hour
        self._letters = letters
        self._deliver = send
        self._opener = opener
        self._now = now
        self._terms = Terms(owner=this_process(), lease=LEASE)
        own = settings.mailer
        first, longest = timedelta(seconds=own.retry_first_seconds), timedelta(seconds=own.retry_longest_seconds)
        self._retries = Retries(own.max_attempts, Backoff(first, longest))
        self.longest = 60.0 + own.smtp.deadline_seconds
        """Seconds that a mail may take once it has a thread; one that takes longer hangs, and is left to others."""
        self.leases = Leases(MAILS, self._terms, self.longest)

    def handlers(self) -> Handlers:
        return {InstallCompleted: self.welcome, OrderAmended: self.amend}

    def welcome(self, uow: UnitOfWork[MailRows], event: Event[InstallCompleted]) -> Outcome | Effect:
        """Claim the install's mail and send it. After a crash between the SMTP server's reply and our record it is sent
        again: a customer without credentials is the worse outcome."""
        mail = uow.rows.mails.get(event.data.install_id) or self._new(uow, event)
        if mail.rests(uow.now):
            return Done()  # what sends it, or will, is told by its row: see `recovery`
        if mail.state in (State.SENT, State.FAILED, State.SUPPRESSED):
            return _answer(uow, mail, event)
        if mail.state == State.SENDING and mail.attempt >= self._retries.attempts:
            return _fail_for_good(uow, mail, event, _SENDER_LOST)
        return self._claim(uow, mail, event)

    def _claim(self, uow: UnitOfWork[MailRows], mail: Mail, event: Event[InstallCompleted]) -> Outcome | Effect:
        if mail.state == State.SENDING:
            mail = put_off(uow, mail.put_off(uow.now, _SENDER_LOST), event)
        if mail.is_outdated(uow.rows.mails.of(mail.order_id)):
            _log.info("mail.outdated", **mail.names)
            _suppress(uow, mail, "a newer install of the order has a letter", event)
            return Done()
        if until := self._full_until(uow, mail):
            return self._hold(uow, mail, until, event)
        claimed = uow.rows.mails.save(mail.sending(self._terms, uow.now, self._retries.attempts))
        if self._is_counted(claimed):
            uow.rows.count(claimed, uow.now)
        return Effect(claimed, self._send, self._record, self._fail, self._release)

    def amend(self, uow: UnitOfWork[MailRows], event: Event[OrderAmended]) -> Outcome:
        """Address the order's mails to the corrected customer. One that is being sent just now still goes to the old
        address."""
        order_id, customer, at = event.data.order_id, event.data.customer, event.time or uow.now
        known = uow.rows.customers.get(order_id)
        if known is None or known.amended_at <= at:
            uow.rows.customers.save(Corrected(order_id=order_id, customer=customer, amended_at=at))
            for mail in uow.rows.mails.of(order_id):
                corrected = uow.rows.mails.save(mail.amended(customer))
                if mail.state == State.WAITING:
                    uow.emit(telling.waiting(corrected), order_id, event)
            _log.info("mail.amended", order_id=order_id)
        return Done()

    def _new(self, uow: UnitOfWork[MailRows], event: Event[InstallCompleted]) -> Mail:
        completed = event.data
        if known := uow.rows.customers.get(completed.order_id):
            completed = completed.model_copy(update={"customer": known.customer})
        mail = uow.rows.mails.save(Mail.of(completed, trace_of(event), uow.now))
        if self.site_types.is_welcomed(completed.site.site_type):
            return mail
        return _suppress(uow, mail, f"no letters are sent for {completed.site.site_type} sites", event)

    def _is_counted(self, mail: Mail) -> bool:
        """Whether it counts towards the recipient's hourly limit; what staff resend does not."""
        return self._per_hour > 0 and not mail.resends

    def _full_until(self, uow: UnitOfWork[MailRows], mail: Mail) -> datetime | None:
        """Return when the recipient's limit lets the mail go; None for now."""
        return uow.rows.free_at(mail, uow.now, self._per_hour) if self._is_counted(mail) else None

    def _hold(self, uow: UnitOfWork[MailRows], mail: Mail, until: datetime, event: Event[InstallCompleted]) -> Outcome:
        """Hold the mail back until its recipient's limit lets it go; that costs no attempt."""
        cause = MAIL_CAUSES.cause("letters_limit", f"{mail.recipient} has had {self._per_hour} letters within an hour")
        put_off(uow, mail.put_off(until, cause), event)
        _log.warning("mail.held", **mail.names, cause=cause.code, reason=cause.detail, due_at=until)
        return Retry(until, cause)

    def opens(self, mail: Mail) -> bool:
        """Whether this mailer has the key to what is sealed in the mail."""
        try:
            self._letter(mail)
        except Failed:
            return False
        return True

    def preview(self, mail: Mail) -> EmailMessage:
        """Return the letter as it would be sent now, with its passwords masked. Raises Failed."""
        welcome = welcome_of(mail.completed, self._settings, lambda _sealed: MASK, mail.copy)
        return self._letters.render(welcome, self._now()).message()

    def _send(self, mail: Mail) -> str:
        """Render and send the letter; return its Message-ID."""
        letter = self._letters.render(self._letter(mail), self._now())
        try:
            self._deliver(letter)
        except Failed as failure:  # a filter may quote the line it dislikes, in whatever language
            detail = without(letter.secrets, failure.cause.detail)
            raise Failed(failure.cause.model_copy(update={"detail": detail})) from None
        return letter.message_id

    def _letter(self, mail: Mail) -> Welcome:
        return welcome_of(mail.completed, self._settings, self._opened, mail.copy)

    def _opened(self, sealed: str) -> str:
        try:
            return self._opener.open(sealed)
        except ConfigurationError as error:
            raise MAIL_CAUSES.failed("wrong_key", str(error)) from None

    def _release(self, uow: UnitOfWork[MailRows], claim: Mail, _event: Event[InstallCompleted]) -> Outcome:
        """No thread has begun it: it is due as before, and the claim was no attempt."""
        uow.rows.uncount(claim)
        if mail := uow.rows.mails.held(claim):
            uow.rows.mails.save(mail.put_off(mail.due_at, mail.cause).unclaimed())
        return Retry(uow.now, _STOPPING)

    def _record(
        self, uow: UnitOfWork[MailRows], claim: Mail, event: Event[InstallCompleted], message_id: str
    ) -> Outcome:
        if mail := uow.rows.mails.held(claim):
            sent = uow.rows.mails.save(mail.sent(message_id, uow.now))
            uow.emit(telling.sent(sent), sent.order_id, event)
            _log.info("mail.sent", **claim.names)
        return Done()

    def _fail(self, uow: UnitOfWork[MailRows], claim: Mail, event: Event[InstallCompleted], cause: Cause) -> Outcome:
        """Another attempt after a pause if the cause passes by itself; else failed for good."""
        if cause.code not in _PERHAPS_SENT:
            uow.rows.uncount(claim)
        mail = uow.rows.mails.held(claim)
        if mail is None:
            return Done()
        pause = self._retries.pause(cause, mail.attempt)
        if pause is None:
            return _fail_for_good(uow, mail, event, cause)
        put_off(uow, mail.put_off(uow.now + pause, cause), event)
        return Retry(uow.now + pause, cause)


def put_off(uow: UnitOfWork[MailRows], waiting: Mail, cause: Origin) -> Mail:
    """Save a mail that waits for another attempt, and tell so."""
    waiting = uow.rows.mails.save(waiting)
    uow.emit(telling.waiting(waiting), waiting.order_id, cause)
    return waiting


def _suppress(uow: UnitOfWork[MailRows], mail: Mail, reason: str, event: Event[InstallCompleted]) -> Mail:
    suppressed = uow.rows.mails.save(mail.suppressed(reason))
    uow.emit(telling.suppressed(suppressed), mail.order_id, event)
    return suppressed


def _fail_for_good(uow: UnitOfWork[MailRows], mail: Mail, event: Event[InstallCompleted], cause: Cause) -> Outcome:
    failed = uow.rows.mails.save(mail.failed(cause))
    uow.emit(telling.failed(failed), failed.order_id, event)
    _log.error("mail.failed", **failed.names, cause=cause.code, reason=cause.detail, remedy=cause.remedy)
    return Done()


def _answer(uow: UnitOfWork[MailRows], mail: Mail, event: Event[InstallCompleted]) -> Outcome:
    """Emit the mail's outcome again for an installer that asks because it has not heard of it."""
    if event.source != uow.source and event.time is not None and event.time > mail.created_at:
        for told in telling.tell(mail):
            uow.emit(told.data, mail.order_id, event)
    return Done()  # if not, it is a late copy of what the mail was sent for


_PERHAPS_SENT = frozenset({"smtp_interrupted", "smtp_timeout"})
_STOPPING = MAIL_CAUSES.cause("stopping", "the mailer that had this letter was told to stop before its turn came")
_SENDER_LOST = MAIL_CAUSES.cause(
    "worker_lost", "every worker that tried to send this letter ended before it could report the outcome"
)
