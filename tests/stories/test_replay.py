"""Whoever has heard everything, or nothing and then a replay, knows what the three services know."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import codec
from foundation.service import replay
from foundation.telemetry.tracing import Trace
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
from schemas.mails import MailSent
from schemas.orders import (
    OrderAccepted,
    OrderAmended,
    OrderKnown,
    OrderWithdrawn,
)
from schemas.services import ServiceReplay, ServiceReplayed
from schemas.values import Model
from services.installer import telling as of_installs
from services.installer.installs import INSTALLS, Install
from services.installer.states import State
from services.mailer.mails import MAILS, Mail
from services.mailer.states import State as MailState
from services.order_intake.orders import ORDERS, Order
from tests.support.full_house import a_full_house
from tests.support.house import House, kind

pytestmark = pytest.mark.usefixtures("quiet")

Facts = dict[str, dict[str, Any]]
_RANKS = ("accepted", "staged", "waiting", "retrying", "created", "started")
"""What has to give way to another event of the same sequence; all others are ends."""


def what_rows_say(house: House) -> Facts:
    """What people see of the rows of all three services."""
    facts: Facts = {}
    with house.intake.store.reading() as connection:
        facts |= {order.order_id: _of_order(order) for order in ORDERS.page(connection, None, 1000)}
    with house.installing.store.reading() as connection:
        facts |= {f"install {row.install_id}": _of_install(row) for row in INSTALLS.page(connection, None, 1000)}
    with house.mailer.store.reading() as connection:
        facts |= {f"mail {row.install_id}": _of_mail(row) for row in MAILS.page(connection, None, 1000)}
    return facts


def _of_order(order: Order) -> dict[str, Any]:
    names = ("state", "domain", "customer", "server", "username", "account", "cause", "holds_domain", "created_at")
    facts = {name: getattr(order, name) for name in names}
    if order.state == "accepted":
        facts |= {"due_at": order.due_at, "attempt": order.attempt + 1}
    return facts | {"reason": order.cancel_reason if order.state == "cancelled" else None}


def _of_install(install: Install) -> dict[str, Any]:
    facts = {name: getattr(install, name) for name in ("state", "due_at", "cause", "reason", "domain", "site_type")}
    return facts | ({} if install.state == State.CANCELLED else {"attempt": install.current_attempt})


def _of_mail(mail: Mail) -> dict[str, Any]:
    facts = {name: getattr(mail, name) for name in ("state", "recipient", "resends", "cause", "reason")}
    if mail.state == MailState.SENT:
        facts |= {"message_id": mail.message_id, "sent_at": mail.sent_at}
    if mail.state == MailState.WAITING:
        return facts | {"due_at": mail.due_at, "attempt": mail.attempt + 1}
    return facts | ({} if mail.state == MailState.SUPPRESSED else {"attempt": mail.attempt})


def what_events_say(events: Iterable[Event[Any]]) -> Facts:
    """What an observer knows who keeps the docs' rules: of each row, the event with the highest sequence counts."""
    facts: Facts = defaultdict(dict)
    latest: dict[str, tuple[str, bool]] = {}
    for event in events:
        name = _named(event)
        if not name:
            continue
        rank = (event.sequence or "", kind(event.type).partition(".")[2] not in _RANKS)
        if rank >= latest.get(name, ("", False)):
            latest[name] = rank
            facts[name] |= _told(event)
    for known in facts.values():
        if known["state"] != "sent":  # of a mail that is sent again
            known.pop("message_id", None)
            known.pop("sent_at", None)
        if known["state"] in ("cancelled", "suppressed"):
            known.pop("attempt", None)
        if known["state"] not in ("accepted", "waiting") and "site_type" not in known:
            known.pop("due_at", None)
        if known["state"] in ("created", "failed") and "username" in known:
            known.pop("attempt", None)
    return dict(facts)


def _named(event: Event[Any]) -> str | None:
    family = event.type.split(".")[1]
    if event.sequence is None and not isinstance(event.data, InstallStaged):
        return None
    if family in ("install", "mail"):
        return f"{family} {event.data.install_id}"
    return str(event.data.order_id) if family in ("order", "account") else None


def _told(event: Event[Any]) -> Mapping[str, Any]:
    told = _TOLD.get(type(event.data), _of_a_mail)
    return told(event.data) | ({"sent_at": event.time} if isinstance(event.data, MailSent) else {})


def _accepted(data: OrderAccepted) -> dict[str, Any]:
    names = ("domain", "customer", "server", "username", "due_at")
    fresh = {"holds_domain": True, "created_at": data.placed_at, "account": None, "cause": None, "reason": None}
    return {"state": "accepted", "attempt": 1, **fresh, **{name: getattr(data, name) for name in names}}


def _withdrawn(data: OrderWithdrawn) -> dict[str, Any]:
    gone = {"state": "cancelled", "cause": None, "reason": data.reason, "holds_domain": not data.domain_released}
    return gone if data.state == "cancelled" else {}


def _staged(data: InstallStaged) -> dict[str, Any]:
    site = {"domain": data.account.domain, "site_type": data.site.site_type, "reason": None}
    return {"state": "staged", **site, **{name: getattr(data, name) for name in ("due_at", "attempt", "cause")}}


def _of_a_mail(data: Any) -> dict[str, Any]:
    state = type(data).__name__.removeprefix("Mail").lower()
    names = ("recipient", "cause", "reason", "attempt", "due_at", "message_id")
    told = {name: getattr(data, name, None) for name in names}
    return {"state": state, **told, "resends": getattr(data, "resends", None) or 0}


_TOLD: Mapping[type[Model], Callable[[Any], dict[str, Any]]] = {
    OrderAccepted: _accepted,
    OrderAmended: lambda data: {"customer": data.customer},
    OrderWithdrawn: _withdrawn,
    OrderKnown: lambda _: {},
    AccountRetrying: lambda data: {name: getattr(data, name) for name in ("attempt", "due_at", "cause", "username")},
    AccountCreated: lambda data: {"state": "created", "account": data.account, "cause": None, "reason": None},
    AccountFailed: lambda data: {"state": "failed", "cause": data.cause, "holds_domain": not data.domain_released},
    InstallStaged: _staged,
    InstallWaiting: lambda data: {"state": "waiting", "attempt": data.attempt, "cause": data.cause},
    InstallStarted: lambda data: {"state": "installing", "attempt": data.attempt},
    InstallCompleted: lambda data: {"state": "installed", "cause": None, "attempt": data.attempt},
    InstallFailed: lambda data: {"state": "failed", "cause": data.cause, "attempt": data.attempt},
    InstallCancelled: lambda data: {"state": "cancelled", "reason": data.reason},
    InstallResolved: lambda data: {"state": "resolved", "reason": data.note},
}


@pytest.mark.parametrize("page", [1, 3, 500])
def test_a_replay_tells_what_the_rows_say_and_does_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(replay, "PAGE", page)
    house = a_full_house(tmp_path)
    rows, before = what_rows_say(house), len(house.smtp.sent)
    states = {facts["state"] for facts in rows.values()}
    assert states == {*State, *MailState, "accepted", "created"} - {State.INSTALLING, MailState.SENDING}
    house.events()
    watching = house.broker.watch("replays", "#")
    command = house.publish(ServiceReplay())
    house.settle()
    told = [codec.decode(delivery.body) for delivery in watching.take(10_000, 0)]
    assert all(event.replay and event.sequence for event in told)
    assert what_events_say(told) == rows
    ends = [event.data for event in house.events() if isinstance(event.data, ServiceReplayed)]
    assert {end.service for end in ends} == {"order-intake", "installer", "mailer"}
    assert {end.command_id for end in ends} == {command.id}
    assert sum(end.rows for end in ends) == len(rows)
    assert (len(house.smtp.sent), what_rows_say(house)) == (before, rows)


def test_whoever_has_listened_all_the_time_knows_as_much(tmp_path: Path) -> None:
    house = a_full_house(tmp_path)
    assert what_events_say(house.events()) == what_rows_say(house)


def test_a_replay_goes_on_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "PAGE", 2)
    house = House(tmp_path)
    for number in range(1, 8):
        house.order(number)
    house.settle()
    house.events()
    watching = house.broker.watch("replays", "order.accepted.#")
    told: list[Event[Any]] = []

    def some() -> bool:
        told.extend(codec.decode(delivery.body) for delivery in watching.take(100, 0))
        return len(told) >= 3

    house.publish(ServiceReplay())
    house.run_until(some)
    house.restart(house.intake)
    house.settle()
    some()
    assert {event.data.order_id for event in told} == {f"order-{number}" for number in range(1, 8)}
    ends = {event.data.service: event.data.rows for event in house.events() if isinstance(event.data, ServiceReplayed)}
    assert ends["order-intake"] == 7


def test_an_install_that_is_at_work_is_told_of_as_started(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.order()
    house.settle()
    install = house.install()
    begun = install.begun(house.steps._terms, house.clock.now(), 6)
    staged, started = of_installs.tell(begun)
    assert isinstance(staged.data, InstallStaged)
    assert isinstance(started.data, InstallStarted)
    assert (started.data.attempt, started.data.worker, started.at) == (1, begun.lease_owner, house.clock.now())
    assert isinstance(install.trace, Trace)
