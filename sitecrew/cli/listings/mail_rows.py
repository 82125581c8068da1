"""Emails as they are shown: a row, a page, a JSON object; and which ones to resend."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from foundation.errors import NotFound
from services.mailer import listing
from services.mailer.mails import Mail
from services.mailer.states import State
from services.mailer.upcoming import after_failure
from sitecrew.cli.client import session
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table
from sitecrew.cli.output.words import count

_ALL = 100_000


def the_one(connection: Connection, name: str) -> Mail:
    """The email of this install, or of this order's latest install. Raises NotFound."""
    mail = listing.latest(connection, name)
    if mail is None:
        raise NotFound(f"there is no email for {name}; `sitecrew install show {name}` shows what it waits for")
    return mail


def chosen(connection: Connection, names: Sequence[str], narrowed: Filters) -> list[Mail]:
    """The emails of these installs or orders; without names, all failed ones still current. Raises NotFound."""
    if names:
        return [the_one(connection, name) for name in names]
    failed = listing.listing(connection, [State.FAILED], _ALL, since=narrowed.since, causes=narrowed.causes)
    return listing.newest(connection, failed)


def show_choice(found: Sequence[Mail], to: str | None, *, json: bool) -> None:
    """Show which emails would be resent."""
    if json:
        terminal.document([record(mail) for mail in found])
    elif found:
        table(found, session.now()).show()
    where = f" to {to}" if to else ""
    terminal.note(f"would resend {count(len(found), 'email')}{where}; nothing was done")


def table(found: Sequence[Mail], now: datetime) -> Table:
    """For people."""
    headers = ("INSTALL", "TO", "STATE", "TRY", "RESENT", "REQUESTED")
    return Table(headers, [_row(mail, now) for mail in found], beneath=("CAUSE", "REMEDY"))


def _row(mail: Mail, now: datetime) -> tuple[str, ...]:
    cause = mail.cause
    told = (f"{cause.code}: {cause.detail}", cause.remedy) if cause else ("", "")
    recipient, asked = mail.completed.customer.email, times.relative(mail.created_at, now)
    return (mail.install_id, recipient, mail.state, str(mail.attempt), str(mail.resends or "-"), asked, *told)


def page(mail: Mail, now: datetime) -> list[tuple[str, str]]:
    """Everything as names and values for people."""
    completed, cause = mail.completed, mail.cause
    return [
        ("install", mail.install_id),
        ("order", completed.order_id),
        ("domain", completed.account.domain),
        ("site", f"{completed.site.site_type}, {completed.site.url}"),
        ("to", f"{completed.customer.name} <{completed.customer.email}>"),
        ("language", completed.site.locale or ""),
        ("state", mail.state),
        ("attempts", str(mail.attempt)),
        ("resent", f"{count(mail.resends, 'time')} by staff" if mail.resends else ""),
        ("requested", times.both(mail.created_at, now)),
        ("sent", times.both(mail.sent_at, now)),
        ("message id", mail.message_id or ""),
        ("cause", f"{cause.code}: {cause.detail}" if cause else ""),
        ("remedy", cause.remedy if cause else ""),
        ("next", what_next(mail, now)),
    ]


def what_next(mail: Mail, now: datetime) -> str:
    """What happens next; empty if nothing does."""
    if mail.state == State.FAILED and mail.cause:
        return after_failure(mail, mail.cause)
    if mail.state == State.WAITING:
        return f"sent automatically {times.relative(max(mail.due_at, now), now)}"
    return ""


def record(mail: Mail) -> dict[str, Any]:
    """Everything as JSON, except for what is sealed."""
    completed, cause = mail.completed, mail.cause
    return {
        "install_id": mail.install_id,
        "order_id": completed.order_id,
        "recipient": completed.customer.email,
        "domain": completed.account.domain,
        "state": mail.state,
        "attempt": mail.attempt,
        "resends": mail.resends,
        "created_at": mail.created_at,
        "due_at": mail.due_at if mail.state == State.WAITING else None,
        "sent_at": mail.sent_at,
        "message_id": mail.message_id,
        "cause": cause.model_dump(mode="json") if cause else None,
    }
