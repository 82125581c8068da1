"""What each type of event tells of an order, an install or a letter: which facets, and with which fields."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from schemas.accounts import AccountCreated, AccountFailed, AccountRetrying
from schemas.envelope import Event
from schemas.installs import (
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallResolved,
    InstallStaged,
    InstallStarted,
    InstallWaiting,
)
from schemas.mails import MailFailed, MailSent, MailSuppressed, MailWaiting
from schemas.orders import OrderAccepted, OrderAmended, OrderWithdrawn
from schemas.values import AccountRef, Cause, Customer
from services.api.projection.views import INSTALL, LETTER, ORDER, Fields


class Telling(NamedTuple):
    """One facet of one record."""

    of: str
    """`order`, `install` or `letter`."""
    facet: str
    rank: int
    """Of two tellings with the same sequence and facet, the one with the higher rank is the later."""
    fields: Fields
    is_first: bool = False
    """Whether any other telling of the facet is the later: this one comes from a service that does not own the
    record."""


def tellings(event: Event[Any]) -> Iterator[Telling]:
    """Yield what an event tells. Nothing, if it tells of no record."""
    tell = _TELL.get(type(event.data))
    return tell(event) if tell else iter(())


def version(event: Event[Any], telling: Telling) -> str:
    """Return a text that compares as later tellings follow earlier ones: by the row's version as its service states it;
    within one transaction by rank; without a version, by time."""
    sequence = "" if telling.is_first else event.sequence or ""
    time = event.time.isoformat(timespec="microseconds") if event.time else ""
    return f"{sequence.zfill(20)}.{telling.rank}.{time}"


def _state(state: str, cause: Cause | None = None, **more: Any) -> Fields:
    """Return the facet `state` of any record; what is not given is nothing now."""
    nothing = {"attempt": None, "max_attempts": None, "due_at": None, "reason": None}
    return {**nothing, "state": state, "cause": cause, "cause_code": cause.code if cause else None, **more}


def _tries(data: Any) -> Fields:
    return {"attempt": data.attempt, "max_attempts": data.max_attempts}


# Orders


def _customer(customer: Customer) -> Fields:
    return {"customer_name": customer.name, "customer_email": customer.email}


def _order_accepted(event: Event[OrderAccepted]) -> Iterator[Telling]:
    data = event.data
    placed = ("site_type", "domain", "title", "placed_at", "placed_by", "priority")
    yield Telling(ORDER, "placed", 0, {name: getattr(data, name) for name in placed})
    yield Telling(ORDER, "customer", 0, _customer(data.customer))
    yield Telling(ORDER, "server", 0, {"server": data.server})
    yield Telling(ORDER, "username", 0, {"username": data.username})
    yield Telling(ORDER, "state", 0, _state("accepted", due_at=data.due_at))


def _account_retrying(event: Event[AccountRetrying]) -> Iterator[Telling]:
    data = event.data
    if data.username:
        yield Telling(ORDER, "username", 1, {"username": data.username})
    yield Telling(ORDER, "state", 1, _state("accepted", data.cause, **_tries(data), due_at=data.due_at))


def _account_created(event: Event[AccountCreated]) -> Iterator[Telling]:
    account = event.data.account
    yield Telling(ORDER, "server", 1, {"server": account.server})
    yield Telling(ORDER, "username", 2, {"username": account.username})
    panel = account.control_panel
    yield Telling(ORDER, "address", 1, {"address": account.address, "control_panel_url": panel.url if panel else None})
    yield Telling(ORDER, "state", 2, _state("created", attempt=event.data.attempt))


def _account_failed(event: Event[AccountFailed]) -> Iterator[Telling]:
    yield Telling(ORDER, "state", 2, _state("failed", event.data.cause, **_tries(event.data)))


def _order_withdrawn(event: Event[OrderWithdrawn]) -> Iterator[Telling]:
    # With a site, only a re-install was cancelled.
    state = event.data.state or "cancelled"
    yield Telling(ORDER, "state", 3, _state(state, reason=event.data.reason if state == "cancelled" else None))


def _order_amended(event: Event[OrderAmended]) -> Iterator[Telling]:
    yield Telling(ORDER, "customer", 1, _customer(event.data.customer))


# Installs


def _site(data: InstallStaged | InstallCompleted) -> Fields:
    account: AccountRef = data.account
    site = {name: getattr(data.site, name) for name in ("site_type", "url", "title", "locale")}
    return {**site, "server": account.server, "username": account.username, "domain": account.domain}


def _install_staged(event: Event[InstallStaged]) -> Iterator[Telling]:
    data = event.data
    yield Telling(INSTALL, "site", 0, _site(data))
    yield Telling(INSTALL, "end", 0, _NOT_ENDED)
    yield Telling(INSTALL, "state", 0, _state("staged", data.cause, **_tries(data), due_at=data.due_at))


def _install_waiting(event: Event[InstallWaiting]) -> Iterator[Telling]:
    data = event.data
    yield Telling(INSTALL, "wait", 1, {"waiting_for": data.waiting_for, "waiting_until": data.until})
    yield Telling(INSTALL, "state", 1, _state("waiting", data.cause, **_tries(data), due_at=data.due_at))


def _install_started(event: Event[InstallStarted]) -> Iterator[Telling]:
    yield Telling(INSTALL, "worker", 1, {"worker": event.data.worker, "started_at": event.time})
    yield Telling(INSTALL, "state", 1, _state("installing", **_tries(event.data)))


def _install_completed(event: Event[InstallCompleted]) -> Iterator[Telling]:
    data = event.data
    yield Telling(INSTALL, "site", 2, _site(data))
    done = {
        "finished_at": event.time,
        "seconds": data.seconds,
        "login_url": data.login.login_url if data.login else None,
    }
    named = {"application": data.application, "application_version": data.version}
    yield Telling(INSTALL, "end", 2, {**done, **named})
    yield Telling(INSTALL, "state", 2, _state("installed", attempt=data.attempt))
    # Nothing else says that its letter is to be sent; whatever the mailer says of it is later.
    yield Telling(LETTER, "state", 0, _letter("waiting", data.customer.email), is_first=True)


_NOT_ENDED: Fields = dict.fromkeys(("finished_at", "seconds", "application", "application_version", "login_url"))


def _ended(event: Event[Any]) -> Fields:
    return {**_NOT_ENDED, "finished_at": event.time}


def _install_failed(event: Event[InstallFailed]) -> Iterator[Telling]:
    yield Telling(INSTALL, "end", 2, _ended(event))
    yield Telling(INSTALL, "state", 2, _state("failed", event.data.cause, **_tries(event.data)))


def _install_cancelled(event: Event[InstallCancelled]) -> Iterator[Telling]:
    yield Telling(INSTALL, "end", 2, _ended(event))
    yield Telling(INSTALL, "state", 2, _state("cancelled", reason=event.data.reason))


def _install_resolved(event: Event[InstallResolved]) -> Iterator[Telling]:
    yield Telling(INSTALL, "end", 3, _ended(event))
    yield Telling(INSTALL, "state", 3, _state("resolved", reason=event.data.note))


# Letters


def _letter(state: str, recipient: str, cause: Cause | None = None, **more: Any) -> Fields:
    nothing = {"message_id": None, "sent_at": None, "resends": 0}
    return {**nothing, **_state(state, cause), "recipient": recipient, **more}


def _mail_waiting(event: Event[MailWaiting]) -> Iterator[Telling]:
    data = event.data
    tries = {**_tries(data), "due_at": data.due_at, "resends": data.resends}
    yield Telling(LETTER, "state", 0, {**_letter("waiting", data.recipient, data.cause), **tries})


def _mail_sent(event: Event[MailSent]) -> Iterator[Telling]:
    data = event.data
    sent = {"message_id": data.message_id, "sent_at": event.time, "resends": data.resends, "attempt": data.attempt}
    yield Telling(LETTER, "state", 2, {**_letter("sent", data.recipient), **sent})


def _mail_failed(event: Event[MailFailed]) -> Iterator[Telling]:
    data = event.data
    tries = {**_tries(data), "resends": data.resends or 0}
    yield Telling(LETTER, "state", 2, {**_letter("failed", data.recipient, data.cause), **tries})


def _mail_suppressed(event: Event[MailSuppressed]) -> Iterator[Telling]:
    yield Telling(LETTER, "state", 2, _letter("suppressed", event.data.recipient, reason=event.data.reason))


_TELL: Mapping[type[Any], Callable[[Event[Any]], Iterator[Telling]]] = {
    OrderAccepted: _order_accepted,
    OrderAmended: _order_amended,
    OrderWithdrawn: _order_withdrawn,
    AccountRetrying: _account_retrying,
    AccountCreated: _account_created,
    AccountFailed: _account_failed,
    InstallStaged: _install_staged,
    InstallWaiting: _install_waiting,
    InstallStarted: _install_started,
    InstallCompleted: _install_completed,
    InstallFailed: _install_failed,
    InstallCancelled: _install_cancelled,
    InstallResolved: _install_resolved,
    MailWaiting: _mail_waiting,
    MailSent: _mail_sent,
    MailFailed: _mail_failed,
    MailSuppressed: _mail_suppressed,
}
