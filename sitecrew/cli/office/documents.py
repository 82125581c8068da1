"""What the documents of the HTTP API tell of orders, installs and emails."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from schemas.values import Cause, Customer
from services.installer.history import Entry
from services.installer.states import MailState
from services.installer.states import State as InstallState
from services.installer.upcoming import what_next as next_with_install
from services.mailer.states import State
from services.mailer.upcoming import sentence
from services.order_intake.states import OrderState
from services.order_intake.upcoming import what_next
from sitecrew.cli.office.seen import InstallSeen, LineSeen, MailSeen, OrderSeen, ServiceSeen

Document = Mapping[str, Any]

_LETTERS = {
    "suppressed": MailState.OFF,
    "waiting": MailState.WAITING,
    "sent": MailState.SENT,
    "failed": MailState.FAILED,
}


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def cause_of(told: Document) -> Cause | None:
    return Cause.model_validate(told["cause"]) if told.get("cause") else None


def customer_of(name: str | None, email: str | None) -> Customer | None:
    """Whoever ordered; all of it was validated when it came in."""
    return Customer.model_construct(name=name or "", email=email) if email else None


def install_of(told: Document, lines: Iterable[LineSeen] = ()) -> InstallSeen:
    """Return an install, with what lines of the activity log tell of it, the first first."""
    letter: Document = told.get("letter") or {}
    state, due_at = InstallState(told["state"]), moment(told.get("due_at"))
    return InstallSeen(
        install_id=told["install_id"],
        order_id=told["order_id"],
        generation=told["generation"],
        site_type=told.get("site_type") or "",
        domain=told.get("domain") or "",
        server=told.get("server") or "",
        state=state,
        current_attempt=told.get("attempt") or 1,
        max_attempts=told.get("max_attempts"),
        due_at=due_at,
        begins_at=due_at if state == InstallState.STAGED else None,
        waiting_for=told.get("waiting_for") if state == InstallState.WAITING else None,
        waiting_until=moment(told.get("waiting_until")) if state == InstallState.WAITING else None,
        cause=cause_of(told),
        reason=told.get("reason"),
        mail_state=_LETTERS.get(letter.get("state", "")) if state == InstallState.INSTALLED else None,
        mail_cause=cause_of(letter) if state == InstallState.INSTALLED else None,
        started_at=moment(told.get("started_at")),
        finished_at=moment(told.get("finished_at")),
        lease_owner=told.get("worker") if state == InstallState.INSTALLING else None,
        **_named(told, "url", "title", "username", "address", "application", "login_url"),
        version=told.get("application_version"),
        customer=customer_of(told.get("customer_name"), told.get("customer_email")),
        history=history_of(told["install_id"], lines),
    )


def history_of(install_id: str, lines: Iterable[LineSeen]) -> list[Entry]:
    """Return an install's history, as the lines of the activity log tell of it, the first first."""
    return [entry for line in lines if line.install_id == install_id and (entry := _entry(line))]


def _entry(line: LineSeen) -> Entry | None:
    found = re.search(r"\battempt: ([0-9]+)", line.detail)
    attempt = int(found[1]) if found else None
    what = _WHAT.get(line.kind)
    if line.kind == "install.staged" and line.cause and attempt:
        what = "attempt failed" if attempt > 1 else "retried"
        attempt = attempt - 1 or None
    if what is None:
        return None
    by_hand = what in {"cancelled", "resolved", "retried"}
    return Entry.model_construct(
        at=line.at,
        what=what,
        attempt=None if by_hand else attempt,
        cause=line.cause if what != "retried" else None,
        by=line.actor if by_hand else None,
        reason=line.detail.partition(": ")[2] if by_hand and line.kind != "install.staged" else None,
    )


_WHAT = {
    "install.failed": "failed",
    "install.completed": "installed",
    "install.cancelled": "cancelled",
    "install.resolved": "resolved",
}


def next_of(told: Document) -> str:
    """What happens next with an install."""
    return next_with_install(install_of(told))


def order_of(told: Document) -> OrderSeen:
    state = told["state"]
    known = state in set(OrderState)
    return OrderSeen(
        order_id=told["order_id"],
        source=told.get("placed_by") or "",
        state=state,
        **_named(told, "site_type", "domain", "title", "server", "username", "address", "priority"),
        control_panel=told.get("control_panel_url"),
        tries=told.get("attempt"),
        customer=customer_of(told.get("customer_name"), told.get("customer_email")),
        cause=cause_of(told),
        next=what_next(told["order_id"], OrderState(state), told.get("attempt") or 1, cause_of(told)) if known else "",
        generation=told.get("generation") or 0,
        install_state=told.get("install_state"),
        cancel_reason=told.get("reason"),
        created_at=moment(told.get("placed_at")),
        updated_at=moment(told.get("updated_at")),
    )


def mail_of(told: Document) -> MailSeen:
    cause, state = cause_of(told), State(told["state"])
    failed = state == State.FAILED and cause
    return MailSeen(
        install_id=told["install_id"],
        order_id=told["order_id"],
        recipient=told.get("recipient") or "",
        state=state,
        **_named(told, "domain", "attempt", "message_id", "site_type", "url"),
        resends=told.get("resends") or 0,
        created_at=moment(told.get("requested_at")),
        due_at=moment(told.get("due_at")) if state == State.WAITING else None,
        sent_at=moment(told.get("sent_at")),
        cause=cause,
        next=sentence(told["install_id"], told.get("attempt") or 1, cause) if failed and cause else "",
        customer=customer_of(told.get("customer_name"), told.get("recipient")),
    )


def line_of(told: Document) -> LineSeen:
    about = _named(told, "id", "kind", "order_id", "install_id", "detail", "trace_id")
    who = _named(told, "actor_type", "actor", "source")
    return LineSeen(**about, **who, at=datetime.fromisoformat(told["at"]), cause=cause_of(told))


def service_of(told: Document) -> ServiceSeen:
    started_at = datetime.fromisoformat(told["started_at"])
    return ServiceSeen(told["instance"], told["version"], started_at, told, told["is_lost"])


def _named(told: Document, *names: str) -> dict[str, Any]:
    return {name: told.get(name) for name in names}
