"""Email to staff about what needs them. It is plain text, and no row is kept of it: what it says is in the command."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from textwrap import wrap

import structlog

from foundation.clock import Now
from foundation.config.settings import Settings
from foundation.handling.outcomes import Done, Effect, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from schemas.alerts import AlertRaised, MailAlerts
from schemas.envelope import Event
from schemas.values import Cause
from services.mailer.addresses import domain_of, sender_of, with_ascii_domain
from services.mailer.delivery import Send
from services.mailer.letter.envelope import Letter
from services.mailer.rows import MailRows

LASTS = timedelta(days=1)
"""How long sending one is tried; by then the console and newer emails know better."""
_WIDTH = 76

_log = structlog.get_logger(__name__)


class Alerting:
    """The handler of `mail.alerts`."""

    def __init__(self, settings: Settings, send: Send, now: Now) -> None:
        self._settings = settings
        self._deliver = send
        self._now = now

    def send(self, _uow: UnitOfWork[MailRows], event: Event[MailAlerts]) -> Outcome | Effect:
        """Send one email to all of `alerts.to`. After a crash it is perhaps sent twice."""
        if not self._settings.alerts.to:
            return Done()
        return Effect(event, self._send, self._sent, self._failed)

    def _send(self, event: Event[MailAlerts]) -> None:
        self._deliver(letter_of(event.data, self._settings, event.id, event.time or self._now()))

    def _sent(
        self, _uow: UnitOfWork[MailRows], _claim: Event[MailAlerts], event: Event[MailAlerts], _none: None
    ) -> Outcome:
        _log.info("alerts.sent", number=len(event.data.raised) + len(event.data.recovered) + event.data.more)
        return Done()

    def _failed(
        self, uow: UnitOfWork[MailRows], _claim: Event[MailAlerts], event: Event[MailAlerts], cause: Cause
    ) -> Outcome:
        """Try again, at twice its age each time. Whatever is wrong with the mail server, somebody may mend it."""
        own, age = self._settings.mailer, uow.now - (event.time or uow.now - LASTS)
        if age >= LASTS:
            _log.error("alerts.not_sent", cause=cause.code, reason=cause.detail, remedy=cause.remedy)
            return Done()
        first, longest = timedelta(seconds=own.retry_first_seconds), timedelta(seconds=own.retry_longest_seconds)
        return Retry(uow.now + min(longest, max(first, age)), cause)


def letter_of(told: MailAlerts, settings: Settings, id: str, date: datetime) -> Letter:
    """Return the email. Raises ValueError if an address in `alerts.to` is none."""
    name, sender = sender_of(settings.mailer.sender)
    recipients = [with_ascii_domain(address) for address in settings.alerts.to]
    message_id = f"<alerts.{id}@{domain_of(sender)}>"
    message = EmailMessage(policy=SMTP.clone(max_line_length=998))  # an address or a headline is not to be folded
    message["From"] = formataddr((name, sender))
    message["To"] = ", ".join(recipients)
    message["Subject"] = _subject(told)
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(_text(told, settings.alerts.every_minutes)) + "\n")
    return Letter(sender, recipients, message_id, message.as_bytes())


def _subject(told: MailAlerts) -> str:
    headlines = [alert.headline for alert in (*told.raised, *told.recovered)]
    others = len(headlines) - 1 + told.more
    first = headlines[0] if headlines else "nothing new"
    return f"Sitecrew: {'' if told.raised else 'recovered: '}{first}" + (f", and {others} more" if others > 0 else "")


def _text(told: MailAlerts, minutes: int) -> Iterator[str]:
    if told.raised:
        yield from ("NEEDS YOU", "")
        for alert in told.raised:
            yield from (*_described(alert), "")
    if told.recovered:
        yield from ("RECOVERED", "")
        yield from (f"* {alert.headline}, since {_at(alert.since)}" for alert in told.recovered)
        yield ""
    if told.more:
        yield from (f"And {told.more} more, which the console shows.", "")
    if told.console_url:
        yield from (f"The console: {told.console_url}", "")
    yield from _wrapped(
        "Sitecrew tells once of what begins or grows, and once when it is over: at most one email each"
        f" {minutes} minutes. `sitecrew status` says how it is now."
    )


def _described(alert: AlertRaised) -> Sequence[str]:
    lines = [f"* {alert.headline}, since {_at(alert.since)}"]
    told = (("What happened", alert.detail), ("What to do", alert.remedy))
    for title, text in told:
        lines += _wrapped(f"{title}: {text}", "  ") if text else ()
    return [*lines, f"  Command: {alert.command}"] if alert.command else lines


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
