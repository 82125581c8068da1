"""Installs as they are shown: a row, a page, a JSON object."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from foundation.runtime.settings import Settings
from schemas.values import Cause
from services.installer.installs import Install, State
from sitecrew.cli import moments
from sitecrew.cli.tables import Table

_LETTERS = {"": "waiting", "none": "off"}
"""How the installer's table writes what became of a letter, where that is no word for people."""


def table(found: Sequence[Install], now: datetime) -> Table:
    """The list, with cause and remedy in the row."""
    headers = ("INSTALL", "DOMAIN", "TYPE", "STATE", "TRY", "WHEN", "LETTER")
    return Table(headers, [_row(install, now) for install in found], beneath=("CAUSE", "REMEDY"))


def _row(install: Install, now: datetime) -> tuple[str, ...]:
    cause = install.cause or install.mail_cause
    return (
        install.install_id,
        install.domain,
        install.site_type,
        install.state,
        str(install.attempt),
        _when(install, now),
        letter(install) or "-",
        f"{cause.code}: {cause.detail}" if cause else "",
        cause.remedy if cause else "",
    )


def _when(install: Install, now: datetime) -> str:
    """When it is due; or since when it is as it is."""
    match install.state:
        case State.STAGED:
            return moments.relative(install.due_at, now) if install.due_at > now else "due now"
        case State.INSTALLING:
            return f"for {moments.span((now - (install.started_at or now)).total_seconds())}"
        case _:
            return moments.relative(install.finished_at or install.due_at, now)


def letter(install: Install) -> str | None:
    """What became of the letter; None as long as there is nothing to write of."""
    if install.state != State.INSTALLED and not install.mail_state:
        return None
    return _LETTERS.get(install.mail_state, install.mail_state)


def record(install: Install, settings: Settings) -> dict[str, Any]:
    """All of it as JSON; what is sealed is left out."""
    staged, completed = install.staged, install.completed
    login = completed.login if completed else None
    plain = ("install_id", "order_id", "generation", "domain", "site_type", "server", "state", "attempt", "due_at")
    moved = ("staged_at", "started_at", "finished_at", "lease_owner", "lease_until")
    return {
        **{name: getattr(install, name) for name in plain},
        "max_attempts": settings.installer.max_attempts,
        "next_attempt_at": next_attempt(install, settings),
        "cause": _cause(install.cause),
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
    }


def page(install: Install, settings: Settings, now: datetime) -> list[tuple[str, str]]:
    """All of it as names and values for people."""
    staged, completed, upcoming = install.staged, install.completed, next_attempt(install, settings)
    login = completed.login if completed else None
    lease = f"{install.lease_owner}, lease until {moments.both(install.lease_until, now)}"
    return [
        ("install", f"{install.install_id} (order {install.order_id}, generation {install.generation})"),
        ("state", f"{install.state}, {_when(install, now)}"),
        ("attempt", f"{install.attempt} of {settings.installer.max_attempts}"),
        ("next attempt", moments.both(upcoming, now)),
        *_cause_lines(install.cause, ""),
        ("site", f"{install.site_type}, “{staged.site.title}”, {staged.site.url}"),
        ("application", f"{completed.application} {completed.version}" if completed else ""),
        ("login", f"{login.username} at {login.login_url}" if login else ""),
        ("account", f"{staged.account.username} on {install.server} ({staged.account.address}), {install.domain}"),
        ("customer", f"{staged.customer.name} <{staged.customer.email}>"),
        ("letter", letter(install) or ""),
        *_cause_lines(install.mail_cause, "letter's "),
        ("staged", moments.both(install.staged_at, now)),
        ("started", moments.both(install.started_at, now)),
        ("finished", moments.both(install.finished_at, now)),
        ("worker", lease if install.lease_owner else ""),
    ]


def next_attempt(install: Install, settings: Settings) -> datetime | None:
    """When a staged install will be taken."""
    return settings.begins_at(install.site_type, install.due_at) if install.state == State.STAGED else None


def _cause(cause: Cause | None) -> dict[str, Any] | None:
    return cause.model_dump(mode="json") if cause else None


def _cause_lines(cause: Cause | None, whose: str) -> list[tuple[str, str]]:
    if cause is None:
        return []
    return [(f"{whose}cause", f"{cause.code} ({cause.kind}): {cause.detail}"), (f"{whose}remedy", cause.remedy)]
