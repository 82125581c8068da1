"""Emails as they are shown: a row, a page; and which ones to resend."""

from collections.abc import Sequence
from datetime import datetime

from services.mailer.states import State
from sitecrew.cli.client import session
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.office.interface import Office
from sitecrew.cli.office.seen import MailSeen
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table
from sitecrew.cli.output.words import count


def chosen(office: Office, names: Sequence[str], narrowed: Filters) -> list[MailSeen]:
    """The emails of these installs or orders; without names, all failed ones still current. Raises NotFound."""
    return [office.mail(name) for name in names] if names else list(office.failed_mails(narrowed))


def show_choice(found: Sequence[MailSeen], to: str | None, *, json: bool) -> None:
    """Show which emails would be resent."""
    if json:
        terminal.document([mail.record() for mail in found])
    elif found:
        table(found, session.now()).show()
    where = f" to {to}" if to else ""
    terminal.note(f"would resend {count(len(found), 'email')}{where}; nothing was done")


def table(found: Sequence[MailSeen], now: datetime) -> Table:
    """For people."""
    headers = ("INSTALL", "TO", "STATE", "TRY", "RESENT", "REQUESTED")
    return Table(headers, [_row(mail, now) for mail in found], beneath=("CAUSE", "REMEDY"))


def _row(mail: MailSeen, now: datetime) -> tuple[str, ...]:
    cause = mail.cause
    told = (f"{cause.code}: {cause.detail}", cause.remedy) if cause else ("", "")
    asked = times.relative(mail.created_at, now) if mail.created_at else "-"
    tries = "-" if mail.attempt is None else str(mail.attempt)
    return (mail.install_id, mail.recipient, mail.state, tries, str(mail.resends or "-"), asked, *told)


def page(mail: MailSeen, now: datetime) -> list[tuple[str, str]]:
    """Everything as names and values for people."""
    cause = mail.cause
    return [
        ("install", mail.install_id),
        ("order", mail.order_id),
        ("domain", mail.domain or ""),
        ("site", f"{mail.site_type}, {mail.url}" if mail.url else ""),
        ("to", f"{mail.customer.name} <{mail.recipient}>" if mail.customer else mail.recipient),
        ("language", mail.locale or ""),
        ("state", mail.state),
        ("attempts", "" if mail.attempt is None else str(mail.attempt)),
        ("resent", f"{count(mail.resends, 'time')} by staff" if mail.resends else ""),
        ("requested", times.both(mail.created_at, now)),
        ("sent", times.both(mail.sent_at, now)),
        ("message id", mail.message_id or ""),
        ("cause", f"{cause.code}: {cause.detail}" if cause else ""),
        ("remedy", cause.remedy if cause else ""),
        ("next", _next(mail, now)),
    ]


def _next(mail: MailSeen, now: datetime) -> str:
    """What happens next; empty if nothing does."""
    if mail.state == State.WAITING:
        return f"sent automatically {times.relative(max(mail.due_at or now, now), now)}"
    return mail.next
