"""Installs as they are shown: a row, a page, groups with the same cause."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from schemas.values import Cause
from services.installer.history import Entry
from services.installer.states import State
from services.installer.upcoming import attempts, what_next
from sitecrew.cli.office.seen import InstallSeen, MailSeen
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table


def table(found: Sequence[InstallSeen], now: datetime) -> Table:
    """The list, with cause and remedy in the row; on a terminal a remedy only with the first row of its cause."""
    headers = ("INSTALL", "DOMAIN", "TYPE", "STATE", "TRY", "WHEN", "EMAIL")
    told: set[str] = set()
    rows = []
    for install in found:
        cause = _shown(install)
        remedy = cause.remedy if cause and not (terminal.on_terminal() and cause.code in told) else ""
        told |= {cause.code} if cause else set()
        rows.append(_row(install, now, cause, remedy))
    return Table(headers, rows, beneath=("CUSTOMER", "CAUSE", "REMEDY"))


def _shown(install: InstallSeen) -> Cause | None:
    """The cause to show: that of the email once it is installed, else its own."""
    return install.mail_cause if install.state == State.INSTALLED else install.cause


def _row(install: InstallSeen, now: datetime, cause: Cause | None, remedy: str) -> tuple[str, ...]:
    who = f"{install.customer.name} <{install.customer.email}>" if install.customer else "unknown"
    age = f", staged {times.relative(install.staged_at, now)}" if install.staged_at else ""
    return (
        install.install_id,
        install.domain,
        install.site_type,
        install.state,
        attempts(install),
        _when(install, now),
        install.mail_state or "-",
        f"{who}, account {install.username} on {install.server}{age}",
        f"{cause.code}: {cause.detail}" if cause else "",
        remedy,
    )


def groups(found: Sequence[InstallSeen]) -> Sequence[str]:
    """One line for each cause, with the command that retries everything that failed with it."""
    failed = Counter(
        (install.cause.code, install.server) for install in found if install.state == State.FAILED and install.cause
    )
    letters = Counter(install.mail_cause.code for install in found if install.letter_failed and install.mail_cause)
    return [
        *(
            f"{n} x {code} ({server}): sitecrew install retry --cause {code} --server {server}"
            for (code, server), n in failed.items()
        ),
        *(f"{n} x email {code}: sitecrew mail resend --cause {code}" for code, n in letters.items()),
    ]


def _when(install: InstallSeen, now: datetime) -> str:
    """When it is due, or since when it has been in its state."""
    match install.state:
        case State.STAGED:
            return (
                times.relative(install.begins_at, now) if install.begins_at and install.begins_at > now else "due now"
            )
        case State.WAITING:
            since = times.span((now - install.waiting_since).total_seconds()) if install.waiting_since else "some time"
            return f"for {install.waiting_for}, {since}"
        case State.INSTALLING:
            return f"for {times.span((now - (install.started_at or now)).total_seconds())}"
        case _:
            ended = install.finished_at or install.due_at
            return times.relative(ended, now) if ended else "-"


def page(install: InstallSeen, now: datetime) -> list[tuple[str, str]]:
    """Everything as names and values for people."""
    lease = f", lease until {times.both(install.lease_until, now)}" if install.lease_until else ""
    login = f"{install.login_username} at {install.login_url}" if install.login_username else install.login_url
    return [
        ("install", f"{install.install_id} (order {install.order_id}, generation {install.generation})"),
        ("state", f"{install.state}, {_when(install, now)}"),
        ("attempt", attempts(install)),
        ("next", what_next(install)),
        ("next attempt", times.both(install.begins_at, now)),
        *cause_lines(install.cause, ""),
        ("cancelled because", install.reason or ""),
        ("site", f"{install.site_type}, “{install.title}”, {install.url}"),
        ("application", f"{install.application} {install.version}" if install.application else ""),
        ("login", login or ""),
        ("account", f"{install.username} on {install.server} ({install.address}), {install.domain}"),
        ("customer", f"{install.customer.name} <{install.customer.email}>" if install.customer else ""),
        ("email", install.mail_state or ""),
        *cause_lines(install.mail_cause, "email's "),
        ("staged", times.both(install.staged_at, now)),
        ("started", times.both(install.started_at, now)),
        ("finished", times.both(install.finished_at, now)),
        ("worker", f"{install.lease_owner}{lease}" if install.lease_owner else ""),
        *told(install.history, now),
    ]


def short_page(install: InstallSeen, mail: MailSeen | None, now: datetime, *, history: bool) -> list[tuple[str, str]]:
    """One generation, on the page of its order; with its history, unless that is in the order's."""
    sent = f" to {mail.recipient}" if mail else ""
    mailed = f", {times.relative(mail.sent_at, now)}" if mail and mail.sent_at else ""
    letters = install.mail_state or (mail and str(mail.state)) or ""
    return [
        ("install", install.install_id),
        ("state", f"{install.state}, {_when(install, now)}"),
        ("attempt", attempts(install)),
        *cause_lines(install.cause, ""),
        ("cancelled because", install.reason or ""),
        ("site", f"{install.application} {install.version}, {install.url}" if install.application else ""),
        ("email", f"{letters}{sent}{mailed}" if letters else ""),
        *cause_lines(install.mail_cause or (mail.cause if mail else None), "email's "),
        *(told(install.history, now) if history else ()),
    ]


def cause_lines(cause: Cause | None, whose: str) -> list[tuple[str, str]]:
    """A cause as names and values; none for none."""
    if cause is None:
        return []
    return [(f"{whose}cause", f"{cause.code} ({cause.kind}): {cause.detail}"), (f"{whose}remedy", cause.remedy)]


def told(entries: Sequence[Entry], now: datetime) -> list[tuple[str, str]]:
    """What has happened, a line each; the first is labelled."""
    return told_since("history", [(entry.at, _told(entry)) for entry in entries], now)


def told_since(label: str, lines: Sequence[tuple[datetime, str]], now: datetime) -> list[tuple[str, str]]:
    """Times and what happened then, a line each; the first is labelled."""
    texts = [f"{times.both(at, now)}  {text}" for at, text in lines]
    return [(label if number == 0 else " " * len(label), text) for number, text in enumerate(texts)]


def _told(entry: Entry) -> str:
    attempt = f" (attempt {entry.attempt})" if entry.attempt else ""
    by = f" by {entry.by}" if entry.by else ""
    why = f": {entry.cause.code}: {entry.cause.detail}" if entry.cause else f": {entry.reason}" if entry.reason else ""
    return f"{entry.what}{attempt}{by}{why}"
