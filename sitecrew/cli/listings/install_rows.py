"""Installs as they are shown: a row, a page, a JSON object, groups with the same cause."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from schemas.values import Cause
from services.installer.history import Entry
from services.installer.installs import Install
from services.installer.states import MailState, State
from services.installer.upcoming import attempts, what_next
from services.mailer.mails import Mail
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table


def table(found: Sequence[Install], now: datetime) -> Table:
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


def _shown(install: Install) -> Cause | None:
    """The cause to show: that of the email once it is installed, else its own."""
    return install.mail_cause if install.state == State.INSTALLED else install.cause


def _row(install: Install, now: datetime, cause: Cause | None, remedy: str) -> tuple[str, ...]:
    who, age = install.staged.customer, times.relative(install.staged_at, now)
    return (
        install.install_id,
        install.domain,
        install.site_type,
        install.state,
        attempts(install),
        _when(install, now),
        letter(install) or "-",
        f"{who.name} <{who.email}>, account {install.staged.account.username} on {install.server}, staged {age}",
        f"{cause.code}: {cause.detail}" if cause else "",
        remedy,
    )


def groups(found: Sequence[Install]) -> Sequence[str]:
    """One line for each cause, with the command that retries everything that failed with it."""
    failed = Counter(
        (install.cause.code, install.server) for install in found if install.state == State.FAILED and install.cause
    )
    letters = Counter(
        install.mail_cause.code
        for install in found
        if install.state == State.INSTALLED and install.mail_state == MailState.FAILED and install.mail_cause
    )
    return [
        *(
            f"{n} x {code} ({server}): sitecrew install retry --cause {code} --server {server}"
            for (code, server), n in failed.items()
        ),
        *(f"{n} x email {code}: sitecrew mail resend --cause {code}" for code, n in letters.items()),
    ]


def _when(install: Install, now: datetime) -> str:
    """When it is due, or since when it has been in its state."""
    match install.state:
        case State.STAGED:
            return times.relative(install.begins_at, now) if install.begins_at > now else "due now"
        case State.INSTALLING:
            return f"for {times.span((now - (install.started_at or now)).total_seconds())}"
        case _:
            return times.relative(install.finished_at or install.due_at, now)


def letter(install: Install) -> str | None:
    """The state of the email; None before there is one."""
    if install.state != State.INSTALLED and install.mail_state == MailState.WAITING:
        return None
    return install.mail_state


def record(install: Install) -> dict[str, Any]:
    """Everything as JSON, except for what is sealed."""
    staged, completed = install.staged, install.completed
    login = completed.login if completed else None
    plain = ("install_id", "order_id", "generation", "domain", "site_type", "server", "state")
    tried = ("max_attempts", "attempts_before", "due_at")
    moved = ("staged_at", "started_at", "finished_at", "lease_owner", "lease_until")
    return {
        **{name: getattr(install, name) for name in plain},
        "attempt": install.current_attempt,
        **{name: getattr(install, name) for name in tried},
        "next_attempt_at": next_attempt(install),
        "next": what_next(install) or None,
        "cause": _cause(install.cause),
        "reason": install.reason,
        "mail": {"state": letter(install), "cause": _cause(install.mail_cause)},
        **{name: getattr(install, name) for name in moved},
        "url": staged.site.url,
        "title": staged.site.title,
        "username": staged.account.username,
        "address": staged.account.address,
        "customer": staged.customer.model_dump(mode="json"),
        "application": completed.application if completed else None,
        "version": completed.version if completed else None,
        "login": {"url": login.login_url, "username": login.username} if login else None,
        "history": [entry.model_dump(mode="json", exclude_none=True) for entry in install.history.entries],
    }


def page(install: Install, now: datetime) -> list[tuple[str, str]]:
    """Everything as names and values for people."""
    staged, completed = install.staged, install.completed
    login = completed.login if completed else None
    lease = f"{install.lease_owner}, lease until {times.both(install.lease_until, now)}"
    return [
        ("install", f"{install.install_id} (order {install.order_id}, generation {install.generation})"),
        ("state", f"{install.state}, {_when(install, now)}"),
        ("attempt", attempts(install)),
        ("next", what_next(install)),
        ("next attempt", times.both(next_attempt(install), now)),
        *cause_lines(install.cause, ""),
        ("cancelled because", install.reason or ""),
        ("site", f"{install.site_type}, “{staged.site.title}”, {staged.site.url}"),
        ("application", f"{completed.application} {completed.version}" if completed else ""),
        ("login", f"{login.username} at {login.login_url}" if login else ""),
        ("account", f"{staged.account.username} on {install.server} ({staged.account.address}), {install.domain}"),
        ("customer", f"{staged.customer.name} <{staged.customer.email}>"),
        ("email", letter(install) or ""),
        *cause_lines(install.mail_cause, "email's "),
        ("staged", times.both(install.staged_at, now)),
        ("started", times.both(install.started_at, now)),
        ("finished", times.both(install.finished_at, now)),
        ("worker", lease if install.lease_owner else ""),
        *_history(install.history.entries, now),
    ]


def short_page(install: Install, mail: Mail | None, now: datetime) -> list[tuple[str, str]]:
    """One generation, on the page of its order."""
    completed = install.completed
    sent = f" to {mail.completed.customer.email}" if mail else ""
    mailed = f", {times.relative(mail.sent_at, now)}" if mail and mail.sent_at else ""
    letters = letter(install) or (mail and str(mail.state)) or ""
    return [
        ("install", install.install_id),
        ("state", f"{install.state}, {_when(install, now)}"),
        ("attempt", attempts(install)),
        *cause_lines(install.cause, ""),
        ("cancelled because", install.reason or ""),
        ("site", f"{completed.application} {completed.version}, {completed.site.url}" if completed else ""),
        ("email", f"{letters}{sent}{mailed}" if letters else ""),
        *cause_lines(install.mail_cause or (mail.cause if mail else None), "email's "),
        *_history(install.history.entries, now),
    ]


def next_attempt(install: Install) -> datetime | None:
    """When a staged install will run, as recorded by the installer that staged it."""
    return install.begins_at if install.state == State.STAGED else None


def cause_lines(cause: Cause | None, whose: str) -> list[tuple[str, str]]:
    """A cause as names and values; none for none."""
    if cause is None:
        return []
    return [(f"{whose}cause", f"{cause.code} ({cause.kind}): {cause.detail}"), (f"{whose}remedy", cause.remedy)]


def _history(entries: Sequence[Entry], now: datetime) -> list[tuple[str, str]]:
    """What has happened, a line each; the first is labelled."""
    lines = [f"{times.both(entry.at, now)}  {_told(entry)}" for entry in entries]
    return [("history" if number == 0 else f"{'':7}", line) for number, line in enumerate(lines)]


def _told(entry: Entry) -> str:
    attempt = f" (attempt {entry.attempt})" if entry.attempt else ""
    by = f" by {entry.by}" if entry.by else ""
    why = f": {entry.cause.code}: {entry.cause.detail}" if entry.cause else f": {entry.reason}" if entry.reason else ""
    return f"{entry.what}{attempt}{by}{why}"


def _cause(cause: Cause | None) -> dict[str, Any] | None:
    return cause.model_dump(mode="json") if cause else None
