"""The broker is lost with everything in it, and an empty one stands in its place: what a service has
once written down comes to its end all the same, and each thing once."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemas.installs import InstallCancel, InstallRetry
from schemas.mails import MailResend
from schemas.orders import OrderCancelled, OrderReinstallRequested
from schemas.values import CauseKind
from services.installer.states import State
from services.order_intake.orders import ORDERS
from tests.support.house import TRACE, Gate, House, Service, failure, kind

pytestmark = pytest.mark.usefixtures("quiet")


def traced(directory: Path, **settings: Any) -> House:
    """A house whose orders have a trace, which must not end with the broker."""
    house = House(directory, **settings)
    vars(house)["order"] = partial(house.order, traceparent=TRACE)
    return house


@pytest.fixture
def house(tmp_path: Path) -> House:
    return traced(tmp_path)


def once(house: House) -> None:
    """Everything has happened, and each thing once, however often its news was published."""
    assert len(house.server.accounts) == 1
    assert [job.install_id for job in house.installer.installed] == ["order-1-g1"]
    assert len(house.smtp.sent) == 1
    assert house.parked() == []
    events = house.events()
    assert {"account.created", "install.completed", "mail.sent"} <= {kind(event.type) for event in events}
    assert {event.traceparent for event in events if event.subject} == {TRACE}


# At each point of an order's life


def test_an_order_that_was_not_yet_looked_at_is_the_producers_to_send_again(house: House) -> None:
    house.order()
    house.wipe()
    house.order()
    house.advance_until(house.mailed)
    once(house)


def test_while_its_account_is_being_created(house: House) -> None:
    gate, real = Gate(), house.server.create_account

    def create(request: Any) -> Any:
        gate(request)
        return real(request)

    vars(house.server)["create_account"] = create
    house.order()
    house.run_until(gate.reached.is_set)
    house.wipe()
    gate.opened.set()
    house.advance_until(house.mailed)
    once(house)


def test_while_it_waits_for_a_server_that_was_down(house: House) -> None:
    house.server.failures = [failure("server_down")]
    house.order()
    house.settle()
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


def test_after_order_intake_was_killed_with_its_order(house: House) -> None:
    house.server.failures = [failure("server_down")]
    house.order()
    house.settle()
    house.restart(house.intake)
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


def test_when_the_installer_has_not_heard_of_it(house: House) -> None:
    lanes, house.installing.lanes = house.installing.lanes, []
    house.order()
    house.settle()
    house.installing.lanes = lanes
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


def test_when_it_is_staged_and_waits_for_its_time(house: House) -> None:
    house.order()
    house.settle()
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


def test_while_it_is_being_installed(tmp_path: Path) -> None:
    house = traced(tmp_path, sites={"wordpress": {"stage": False}})
    house.installer.meanwhile = gate = Gate()
    house.order()
    house.run_until(gate.reached.is_set)
    house.wipe()
    gate.opened.set()
    house.advance_until(house.mailed)
    once(house)


def test_after_the_installer_was_killed_in_the_middle(tmp_path: Path) -> None:
    house = traced(tmp_path, sites={"wordpress": {"stage": False}})
    gate = Gate()
    house.installer.meanwhile = lambda job: gate(job) if job.fence == 1 else None
    house.order()
    house.run_until(gate.reached.is_set)
    house.restart(house.installing)
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)
    gate.opened.set()


def test_while_it_waits_for_another_attempt(house: House) -> None:
    house.installer.failures = [failure("db_down")]
    house.order()
    house.settle()
    house.tick()
    assert house.install().current_attempt == 2
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


def test_when_the_mailer_has_not_heard_of_it(house: House) -> None:
    lanes, house.mailer.lanes = house.mailer.lanes, []
    house.order()
    house.settle()
    house.tick()
    house.mailer.lanes = lanes
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


def test_while_its_letter_waits_for_the_mail_server(house: House) -> None:
    house.smtp.failures = [failure("smtp_timeout")]
    house.order()
    house.settle()
    house.tick()
    house.wipe()
    house.advance_until(house.mailed, minutes=60)
    once(house)


@pytest.mark.parametrize("outcome", ["sent", "failed"])
def test_when_the_installer_has_not_heard_of_its_letter(house: House, outcome: str) -> None:
    if outcome == "failed":
        house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    deaf: list[tuple[Any, Any]] = [lane for lane in house.installing.lanes if lane[0].queue == "installer.mails"]
    house.installing.lanes = [lane for lane in house.installing.lanes if lane not in deaf]
    house.order()
    house.settle()
    house.tick()
    house.installing.lanes += deaf
    house.wipe()
    house.advance_until(lambda: house.install().mail_state == outcome, minutes=60)
    assert len(house.smtp.sent) == (outcome == "sent")
    _comes_to_rest(house)


def test_when_the_installer_has_not_heard_that_a_letter_failed_when_it_was_sent_again(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.smtp.failures = [failure("smtp_unreachable"), failure("recipient_refused", CauseKind.PERMANENT)]
    house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    assert house.install().mail_state == "waiting"
    deaf: list[tuple[Any, Any]] = [lane for lane in house.installing.lanes if lane[0].queue == "installer.mails"]
    house.installing.lanes = [lane for lane in house.installing.lanes if lane not in deaf]
    house.advance_until(lambda: "mail.failed" in {kind(event.type) for event in house.events()}, minutes=60)
    house.installing.lanes += deaf
    house.wipe()
    house.advance_until(lambda: house.install().mail_state == "failed", minutes=60)
    assert len(house.smtp.sent) == 1
    _comes_to_rest(house)


@pytest.mark.parametrize("outcome", ["sent", "off"])
def test_when_nobody_heard_of_the_letter_of_a_site_that_was_replaced_meanwhile(house: House, outcome: str) -> None:
    lost = house.mailer if outcome == "off" else house.installing
    lanes: list[Any] = lost.lanes
    lost.lanes = [lane for lane in lanes if lane[0].queue not in ("installer.mails", "mailer.installs")]
    house.order()
    house.settle()
    house.tick()
    lost.lanes = lanes
    house.wipe()
    house.smtp.failures = [failure("smtp_unreachable")] * 30
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    house.let_time_pass(4, 600)
    assert house.install().mail_state == "waiting", "it is not asked for before the newer one is with the mailer"
    house.smtp.failures = []
    house.advance_until(lambda: house.install().mail_state == outcome, minutes=120)
    assert len(house.smtp.sent) == (2 if outcome == "sent" else 1)
    _comes_to_rest(house)


def test_a_cancelled_install_does_not_come_back(house: House) -> None:
    house.order()
    house.settle()
    house.publish(InstallCancel(install_id="order-1-g1"))
    house.settle()
    house.wipe()
    for _ in range(10):
        house.advance(3600)
        house.tick()
        house.reconcile()
    assert house.install().state == State.CANCELLED
    assert house.installer.installed == []


@pytest.mark.parametrize("heard", [True, False])
def test_a_cancel_that_is_lost_is_said_again(house: House, heard: bool) -> None:
    """Whether the installer has heard of the install before, or not."""
    lanes = house.installing.lanes
    house.installing.lanes = [] if not heard else lanes
    house.order()
    house.settle()
    house.installing.lanes = []
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    house.installing.lanes = lanes
    house.wipe()
    house.advance_until(lambda: house.is_in(State.CANCELLED), minutes=30)
    _comes_to_rest(house)
    assert house.installer.installed == []


def test_a_failed_install_waits_for_staff_and_can_be_retried(house: House) -> None:
    house.order()
    house.settle()
    house.installer.failures = [failure("docroot_not_empty", CauseKind.CONFLICT)]
    house.tick()
    house.wipe()
    house.advance(24 * 3600)
    house.tick()
    house.reconcile()
    assert house.install().state == State.FAILED
    house.publish(InstallRetry(install_id="order-1-g1"))
    house.advance_until(house.mailed)
    assert len(house.installer.installed) == 1


def test_a_reinstall_that_was_accepted_comes_to_its_end(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.run_until(lambda: house.intake.run_once() and "install.staged" in house.event_types()[3:])
    house.wipe()
    house.advance_until(lambda: house.is_in(State.INSTALLED, "order-1-g2"), minutes=60)
    assert [job.generation for job in house.installer.installed] == [1, 2]
    assert len(house.smtp.sent) == 2


# Again and again, and then never more than needed


@pytest.mark.parametrize("service", ["intake", "installing", "mailer", None])
def test_a_broker_that_is_wiped_after_every_turn_delays_an_order_and_changes_nothing(
    house: House, service: str | None
) -> None:
    """And with a service of one's own choice killed each time, too."""
    house.order()
    house.intake.run_once()
    for _ in range(40):
        house.wipe()
        if service:
            killed: Service = getattr(house, service)
            house.restart(killed)
        house.pass_time(180)
        house.run_periodic_tasks()
        for each in house.services:
            each.run_once()
        house.tick()
    house.advance_until(house.mailed)
    assert len(house.server.accounts) == 1
    assert {job.install_id for job in house.installer.installed} == {"order-1-g1"}
    assert len({letter["Message-ID"] for letter in house.smtp.sent}) == 1
    assert house.install().state == State.INSTALLED


def _comes_to_rest(house: House) -> None:
    """In two months there are some who ask again; then all is said."""
    said: list[list[str]] = []
    for _ in range(60):
        house.advance(24 * 3600)
        house.tick()
        house.reconcile()
        said.append(house.event_types())
    assert not any(said[-30:])
    assert len([word for words in said for word in words]) <= 26


def test_when_all_news_of_a_finished_install_is_lost_it_is_told_again_but_not_for_ever(house: House) -> None:
    """Order intake heard nothing, and the mailer's answer never came: they ask until they are told."""
    house.order()
    house.settle()
    news = [lane for lane in house.intake.lanes if lane[0].queue == "intake.installs"]
    house.intake.lanes = [lane for lane in house.intake.lanes if lane not in news]
    house.tick()
    house.intake.lanes += news
    house.wipe()
    _comes_to_rest(house)
    assert len(house.installer.installed) == len(house.smtp.sent) == 1
    with house.intake.store.reading() as connection:
        order = ORDERS.get(connection, "order-1")
    assert order is not None
    assert order.is_installed, "it was told when it announced the install again"


def test_an_install_that_waits_for_a_rare_tick_is_not_woken_all_day(tmp_path: Path) -> None:
    house = House(tmp_path, timer={"every": "0 3 * * *"})
    house.order()
    house.settle()
    house.event_types()
    for _ in range(14 * 12):
        house.advance(300)
        house.reconciler.recover(house.installing.database)
        house.settle()
    assert (house.broker.depth("installer.due") or 0) <= 3


def test_an_order_of_a_type_that_is_not_configured_any_more_does_not_hold_up_the_others(tmp_path: Path) -> None:
    types = {"archive": {"stage": True}}
    before = House(tmp_path, sites=types)
    before.order(1, site_type="archive")
    before.order(2)
    before.settle()
    house = House(tmp_path)  # the same databases, an empty broker, and a type less
    house.clock.moment += timedelta(minutes=11)
    house.orders.recover(house.intake.database)
    house.settle()
    assert [event.subject for event in house.events()] == ["order-2"]
