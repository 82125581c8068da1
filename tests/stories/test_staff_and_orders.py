"""What staff ask of orders, and what comes of an order that comes to nothing."""

import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from foundation.config.queues import INTAKE_ORDERS
from foundation.handling import leases
from foundation.handling import worker as loop
from foundation.hosting.causes import failed
from foundation.store.lease import Terms
from schemas.installs import InstallCancel, InstallCancelled, InstallRetry
from schemas.orders import (
    OrderAmend,
    OrderCancel,
    OrderCancelled,
    OrderReinstall,
    OrderReinstallRequested,
    OrderRetry,
)
from schemas.services import ServiceDescribe
from schemas.values import CauseKind, Model
from services.installer.states import State
from services.order_intake.orders import LEASE, MAX_ATTEMPTS, ORDERS, Generations, orders
from tests.stories.test_what_a_producer_may_do import made, order_of
from tests.support.house import PATIENCE, Gate, House, failure, kind


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Sites of type wordpress are installed at once, static ones at the tick; a domain has one account."""
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.server.keeps_domains = True
    return house


def staff(house: House, command: Model, **attributes: Any) -> list[tuple[str, Any]]:
    """What is said when staff, who place no orders, ask for something."""
    house.settle()
    house.events()
    house.publish(command, source="/console", user="staff", **attributes)
    house.settle()
    return [(kind(event.type), event.data) for event in house.events()]


def event_types(answer: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in answer]


WISHES = [
    OrderCancel(order_id="9999"),
    OrderReinstall(order_id="9999"),
    OrderRetry(order_id="9999"),
    OrderAmend(order_id="9999", name="Jo"),
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: type(wish).__name__)
def test_a_slip_of_staff_is_refused_at_once_and_parks_nothing(house: House, wish: Model) -> None:
    ((name, refused),) = staff(house, wish)
    assert (name, refused.order_id, refused.cause.code) == ("command.refused", "9999", "no_such_order")
    assert "no such order" in refused.cause.detail
    assert refused.cause.remedy
    assert house.parked() == []


def test_staff_cancel_any_order_that_has_no_site(house: House) -> None:
    house.order(site_type="static", source="/shop", user="shop")
    answer = staff(house, OrderCancel(order_id="order-1", reason="changed his mind"), authid="dana")
    assert event_types(answer) == ["order.withdrawn", "install.cancelled", "order.withdrawn"]
    assert [data.domain_released for _, data in answer[::2]] == [False, True]
    assert answer[0][1].reason == "changed his mind"
    assert order_of(house).state == "cancelled"
    assert event_types(staff(house, OrderCancel(order_id="order-1"))) == ["order.withdrawn"], "and hear so again"


def test_an_installed_order_is_not_cancelled_and_staff_hear_what_to_do(house: House) -> None:
    house.order()
    ((name, refused),) = staff(house, OrderCancel(order_id="order-1"))
    assert name == "command.refused"
    assert "it is already installed" in refused.cause.detail
    assert "hosting server" in refused.cause.remedy
    assert house.parked() == []


def test_staff_reinstall_any_order_and_as_often_as_it_takes(house: House) -> None:
    house.order(source="/shop", user="shop")
    for _ in range(12):
        answer = staff(house, OrderReinstall(order_id="order-1", blog_name="Anew"))
        assert event_types(answer)[0] == "install.staged"
    assert order_of(house).generation == 13
    assert house.parked() == []


@pytest.mark.parametrize(
    ("before", "detail"),
    [(OrderCancelled(order_id="order-1"), "is cancelled"), (None, "is failed")],
)
def test_what_cannot_be_installed_anew_is_refused_with_the_reason(
    house: House, before: Model | None, detail: str
) -> None:
    if before is None:
        house.server.failures = [failed("server_root_missing", "gone")]
    house.order(site_type="static")
    if before is not None:
        house.publish(before)
    ((name, refused),) = staff(house, OrderReinstall(order_id="order-1"))
    assert name == "command.refused"
    assert detail in refused.cause.detail


def test_a_corrected_address_is_kept_for_later_installs_and_their_letters(house: House) -> None:
    house.order(source="/shop", user="shop")
    ((name, amended),) = staff(house, OrderAmend(order_id="order-1", email="new@customer.example"))
    assert (name, amended.customer.email, amended.customer.name) == (
        "order.amended",
        "new@customer.example",
        "Jo Miller",
    )
    house.publish(OrderReinstallRequested(order_id="order-1"), source="/shop", user="shop")
    house.settle()
    assert [str(letter["To"].addresses[0].addr_spec) for letter in house.smtp.sent] == [
        "jo1@customer.example",
        "new@customer.example",
    ]


@pytest.mark.parametrize("fails_first", [False, True])
def test_an_address_that_is_corrected_before_the_install_gets_the_letter(house: House, fails_first: bool) -> None:
    if fails_first:
        house.static.failures = [failure("broken", CauseKind.PERMANENT)]
    house.order(site_type="static")
    house.settle()
    if fails_first:
        house.tick()
    staff(house, OrderAmend(order_id="order-1", name="Joanna Miller", email="new@customer.example"))
    house.publish(InstallRetry(install_id="order-1-g1"))
    house.settle()
    house.tick()
    (letter,) = house.smtp.sent
    assert letter["To"].addresses[0].addr_spec == "new@customer.example"
    assert house.static.installed[0].admin_email == "new@customer.example"


def test_an_address_that_is_corrected_while_the_account_is_made_is_the_sites_and_the_letters(house: House) -> None:
    gate, real = Gate(), house.server.create_account
    vars(house.server)["create_account"] = behind(gate, real)
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderAmend(order_id="order-1", email="new@customer.example"), source="/console", user="staff")
    house.run_until(lambda: order_of(house).customer.email == "new@customer.example")
    gate.opened.set()
    house.settle()
    (letter,) = house.smtp.sent
    assert letter["To"].addresses[0].addr_spec == "new@customer.example"
    assert house.installer.installed[0].admin_email == "new@customer.example"


def test_an_address_that_is_corrected_during_an_attempt_that_fails_is_that_of_the_next_attempt(house: House) -> None:
    gate = Gate()
    house.installer.meanwhile, house.installer.failures = gate, [failure("db_down")]
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderAmend(order_id="order-1", email="new@customer.example"), source="/console", user="staff")
    house.run_until(lambda: house.install().staged.customer.email == "new@customer.example")
    gate.opened.set()
    house.advance_until(house.mailed)
    assert house.installer.installed[0].admin_email == "new@customer.example"


def test_an_amended_order_is_still_the_same_order_when_it_comes_again(house: House) -> None:
    house.order()
    staff(house, OrderAmend(order_id="order-1", name="Joanna Miller", email="new@customer.example"))
    house.order(id="again")
    house.settle()
    assert house.event_types() == ["order.known"]


def test_an_amendment_that_corrects_nothing_is_refused(house: House) -> None:
    house.order()
    assert event_types(staff(house, OrderAmend(order_id="order-1"))) == ["command.refused"]


def test_an_order_that_failed_is_tried_with_the_corrected_address(house: House) -> None:
    house.server.failures = [failed("server_root_missing", "gone")]
    house.order()
    staff(house, OrderAmend(order_id="order-1", email="new@customer.example"))
    house.order(id="again")
    house.settle()
    (account,) = house.server.accounts.values()
    assert account.email == "new@customer.example"


@pytest.mark.parametrize(("site_type", "state"), [("wordpress", "installed"), ("static", "staged")])
def test_an_unchanged_order_that_comes_again_hears_how_far_it_is(house: House, site_type: str, state: str) -> None:
    house.order(site_type=site_type)
    house.settle()
    house.events()
    house.advance(3600)
    again = house.order(id="again", site_type=site_type)
    house.settle()
    (known,) = [event.data for event in house.events() if kind(event.type) == "order.known"]
    assert (known.event_id, known.state, known.install_id, known.install_state) == (
        again.id,
        "created",
        "order-1-g1",
        state,
    )
    assert (house.clock.now() - known.placed_at).total_seconds() == 3600


def test_an_order_that_waits_for_room_is_known_to_whoever_sends_it_again(house: House) -> None:
    house.server.failures = [failed("disk_full", "no room on purpose")] * 4
    house.order()
    house.settle()
    assert house.event_types() == ["order.accepted", "account.retrying"]
    for copy in range(3):
        house.order(id=f"copy-{copy}")
    house.settle()
    assert house.event_types() == ["order.known"] * 3
    assert house.server.calls == 1, "copies are no tries"
    house.advance_until(house.mailed)
    assert house.server.calls == 5


def test_an_install_that_staff_cancel_is_seen_at_its_order(house: House) -> None:
    house.order(site_type="static")
    staff(house, InstallCancel(install_id="order-1-g1", reason="wrong customer"))
    order = order_of(house)
    assert (order.state, order.install_state, order.cancel_reason) == ("created", "cancelled", "wrong customer")
    house.order(id="again", site_type="static")
    house.settle()
    (known,) = [event.data for event in house.events() if kind(event.type) == "order.known"]
    assert known.install_state == "cancelled"
    assert "shop1.example" in house.server.domains, "its order may yet be installed anew"


def test_order_intake_says_what_it_is(house: House) -> None:
    told = [data for name, data in staff(house, ServiceDescribe()) if name == "service.described"]
    (ours,) = [data for data in told if data.service == "order-intake"]
    assert (ours.max_attempts, set(ours.site_types)) == (MAX_ATTEMPTS, {"wordpress", "static"})


def behind(gate: Gate, real: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An act that waits at a gate first."""

    def act(request: Any) -> Any:
        gate(request)
        return real(request)

    return act


# A domain is free again


def second_order(house: House) -> bool:
    """Whether another customer gets the first order's domain."""
    house.order(2, domain="shop1.example", site_type="static")
    house.settle()
    return 2 in made(house)


def test_the_domain_of_an_order_that_was_cancelled_before_its_install_is_free(house: House) -> None:
    house.order(site_type="static")
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    assert second_order(house)


def test_the_domain_of_an_order_whose_account_failed_is_free(house: House) -> None:
    real = house.server.create_account

    def halfway(request: Any) -> Any:
        """The account is made, with its domain; then its Linux user can't be."""
        real(request)
        raise failed("server_denied", "useradd: on purpose")

    vars(house.server)["create_account"] = halfway
    house.order()
    house.settle()
    vars(house.server)["create_account"] = real
    assert second_order(house)
    house.order(id="again")
    house.settle()
    assert order_of(house).state == "failed", "it is the other's now"


def test_an_account_that_failed_has_its_domain_again_when_it_is_tried_again(house: House) -> None:
    house.server.failures = [failed("server_denied", "on purpose")]
    house.order()
    house.settle()
    house.order(id="again")
    house.advance_until(house.mailed)
    assert house.server.domains["shop1.example"] == order_of(house).username
    assert not second_order(house)


def test_a_reinstall_that_is_cancelled_leaves_the_domain_to_its_site(house: House) -> None:
    house.order(site_type="static")
    house.settle()
    house.tick()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    assert not second_order(house)


def test_a_cancel_that_comes_too_late_for_the_install_leaves_the_domain_to_the_site(house: House) -> None:
    gate = Gate()
    house.installer.verifying = gate
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(lambda: order_of(house).state == "cancelled")
    gate.opened.set()
    house.settle()
    assert (order_of(house).state, house.is_in(State.INSTALLED)) == ("created", True)
    assert not second_order(house)


def test_no_domain_is_given_back_while_an_older_install_of_the_order_is_at_work(house: House) -> None:
    """The newest was cancelled, but an older one may yet put its site in place."""
    gate = Gate()
    house.installer.verifying = gate
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.run_until(lambda: order_of(house).generation == 2)
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(lambda: order_of(house).install_state == "cancelled")
    for _ in range(20):
        house.intake.run_once()
    assert "shop1.example" in house.server.domains
    gate.opened.set()
    house.settle()
    assert (order_of(house).state, order_of(house).has_site) == ("created", True)
    assert not second_order(house)


def test_the_domain_of_an_order_that_was_installed_anew_before_its_first_install_is_free_too(house: House) -> None:
    house.order(site_type="static")
    house.settle()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    assert second_order(house)


def test_staff_have_a_failed_account_tried_again_with_all_its_attempts(house: House) -> None:
    house.server.failures = [failed("server_root_missing", "gone")]
    house.order(source="/shop", user="shop")
    house.settle()
    assert order_of(house).state == "failed"
    answer = staff(house, OrderRetry(order_id="order-1"), authid="dana")
    assert event_types(answer)[:2] == ["order.accepted", "account.created"]
    assert house.mailed()
    assert order_of(house).source == "/shop"
    ((name, refused),) = staff(house, OrderRetry(order_id="order-1"))
    assert (name, refused.cause.detail) == ("command.refused", "order-1: its account is created")
    assert house.server.calls == 2


def test_a_failed_account_is_not_tried_again_below_a_domain_that_another_customer_has_by_now(house: House) -> None:
    house.server.failures = [failed("server_root_missing", "gone")]
    house.order(domain="a.shop.example")
    house.settle()
    house.advance(60)
    house.order(2, domain="shop.example")
    ((name, refused),) = staff(house, OrderRetry(order_id="order-1"))
    assert (name, order_of(house).state) == ("command.refused", "failed")
    assert "another customer's" in refused.cause.detail


def test_an_order_that_was_woken_and_failed_is_tried_again_when_staff_retry_it(house: House) -> None:
    house.order()
    house.run_until(lambda: house.server.calls == 0 and house.intake.run_once())
    house.restart(house.intake)
    house.wipe()
    house.server.failures = [failed("server_denied", "on purpose")]
    house.let_time_pass(steps=13, seconds=60)
    assert (order_of(house).state, house.parked()) == ("failed", [])
    assert event_types(staff(house, OrderRetry(order_id="order-1")))[0] == "order.accepted"
    house.advance_until(house.mailed)


def test_an_account_that_is_made_while_its_order_is_cancelled_gives_its_domain_back(house: House) -> None:
    gate, real = Gate(), house.server.create_account
    vars(house.server)["create_account"] = behind(gate, real)
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(lambda: order_of(house).state == "cancelled")
    gate.opened.set()
    vars(house.server)["create_account"] = real
    house.settle()
    house.advance(60)
    assert house.server.domains == {}
    assert second_order(house)


def test_a_domain_that_the_server_does_not_take_back_now_is_given_back_later(house: House) -> None:
    real = house.server.release_domain
    troubles = [failed("disk_denied", "read-only for a while"), RuntimeError("unforeseen")]

    def release(username: str, domain: str) -> None:
        if troubles:
            raise troubles.pop()
        real(username, domain)

    vars(house.server)["release_domain"] = release
    house.order(site_type="static")
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.let_time_pass(steps=40, seconds=60)
    assert (troubles, house.server.domains) == ([], {})
    assert house.parked() == []


@pytest.mark.parametrize("lost", [{"order-1-g1"}, {"order-1-g2"}, {"order-1-g1", "order-1-g2"}], ids=["1", "2", "both"])
def test_a_domain_is_given_back_though_the_news_of_a_cancelled_install_was_lost(house: House, lost: set[str]) -> None:
    house.order(site_type="static")
    house.settle()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    with house.intake.store.transaction() as connection:  # as if it had never heard of these
        heard = {"order-1-g1"} - lost
        known = Generations(numbers=(1,) if heard else ())
        connection.execute(update(orders).values(cancelled_installs=known))
    deaf = [lane for lane in house.intake.lanes if lane[0].queue == "intake.installs"]
    if "order-1-g2" in lost:
        house.intake.lanes = [lane for lane in house.intake.lanes if lane not in deaf]
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(lambda: house.is_in(State.CANCELLED, "order-1-g2"))
    if "order-1-g2" in lost:
        house.wipe()
        house.intake.lanes += deaf
    house.events()
    house.let_time_pass(steps=40, seconds=60)
    assert house.server.domains == {}
    assert "command.refused" not in [kind(event.type) for event in house.events()]


def test_a_cancel_of_an_order_with_reinstalls_warns_of_nothing(house: House) -> None:
    house.order(site_type="static")
    house.settle()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.events()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    said = [kind(event.type) for event in house.events()]
    assert said.count("install.cancelled") == 1
    assert "command.refused" not in said


def test_the_same_news_of_a_cancelled_install_twice_is_no_news_of_another(house: House) -> None:
    gate = Gate()
    house.installer.verifying = gate
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.run_until(lambda: order_of(house).generation == 2)
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(lambda: order_of(house).install_state == "cancelled")
    house.publish(InstallCancelled(install_id="order-1-g2", order_id="order-1", generation=2, reason="again"))
    for _ in range(20):
        house.intake.run_once()
    assert "shop1.example" in house.server.domains
    gate.opened.set()
    house.settle()
    assert order_of(house).has_site


def test_giving_a_domain_back_is_no_try_of_its_order(house: House) -> None:
    house.server.failures = [failed("server_denied", "on purpose")]
    house.order()
    house.let_time_pass(steps=3, seconds=60)
    order = order_of(house)
    assert (order.state, order.holds_domain) == ("failed", False)
    assert (order.attempt, order.attempts_before) == (1, 0)


@pytest.mark.parametrize("loses", ["broker", "process"])
def test_a_domain_is_given_back_though_what_was_to_do_it_was_lost(house: House, loses: str) -> None:
    house.order(site_type="static")
    house.settle()
    begun, stuck = threading.Event(), threading.Event()
    real = house.server.release_domain

    def hang(_username: str, _domain: str) -> None:
        begun.set()
        stuck.wait(PATIENCE)

    vars(house.server)["release_domain"] = hang
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(begun.is_set)
    vars(house.server)["release_domain"] = real
    house.restart(house.intake)
    if loses == "broker":
        house.wipe()
    stuck.set()
    house.let_time_pass(steps=16, seconds=60)
    assert house.server.domains == {}


def test_a_driver_without_the_method_keeps_its_domains(house: House) -> None:
    vars(house.server)["release_domain"] = None
    house.order(site_type="static")
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.let_time_pass(steps=30, seconds=60)
    assert order_of(house).state == "cancelled"
    assert house.parked() == []


# Mechanisms that no other test would miss


def test_an_old_worker_records_no_failure_while_its_successor_is_at_work(house: House) -> None:
    """Both see the order accepted: only the number of the claim tells them apart."""
    first, second = Gate(), Gate()
    turns = iter([(first, failure("server_denied", CauseKind.CONFIGURATION)), (second, None)])
    real = house.server.create_account

    def create(request: Any) -> Any:
        gate, error = next(turns)
        gate(request)
        if error:
            raise error
        return real(request)

    vars(house.server)["create_account"] = create
    house.order()
    house.run_until(first.reached.is_set)
    house.pass_time(60)
    house.order(id="a copy")
    house.run_until(second.reached.is_set)
    first.opened.set()
    house.run_until(lambda: len(house.orders.leases.held()) == 1)
    for _ in range(20):
        house.intake.run_once()
    assert order_of(house).state == "accepted"
    second.opened.set()
    house.advance_until(house.mailed)
    assert house.parked() == []
    assert "account.failed" not in house.event_types()


def test_the_lease_of_an_account_is_renewed_so_that_no_other_replica_takes_it(house: House) -> None:
    gate, real = Gate(), house.server.create_account
    vars(house.server)["create_account"] = behind(gate, real)
    house.order()
    house.run_until(gate.reached.is_set)
    for copy in range(12):
        house.pass_time(10)
        house.orders.leases.renew(house.intake.database)
        house.order(id=f"copy-{copy}")
        for _ in range(5):
            house.intake.run_once()
    assert (order_of(house).attempt, house.server.calls) == (1, 0)
    gate.opened.set()
    house.advance_until(house.mailed)
    assert house.server.calls == 1


def test_a_driver_that_hangs_is_left_to_another_try_and_shows(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = Gate(), house.server.create_account
    vars(house.server)["create_account"] = behind(gate, real)
    house.order()
    house.run_until(gate.reached.is_set)
    worker = house.intake.lanes[0][0]
    assert (list(house.orders.leases.held()), worker.overdue()) == (["order-1"], 0)
    later = monotonic() + 1000  # the default is 300, and a worker's own 900
    monkeypatch.setattr(leases, "monotonic", lambda: later)
    monkeypatch.setattr(loop, "monotonic", lambda: later)
    assert (list(house.orders.leases.held()), worker.overdue()) == ([], 1)
    vars(house.server)["create_account"] = real
    house.pass_time(60)
    house.order(id="a copy")
    house.run_until(house.mailed)
    gate.opened.set()
    house.settle()
    assert house.event_types().count("account.created") == 1


def test_what_waits_for_a_thread_is_held_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    held = leases.Leases(ORDERS, Terms("test", LEASE), 300)
    held.hold(SimpleNamespace(order_id="waits", fence=1), waiting=True)
    held.hold(SimpleNamespace(order_id="works", fence=1))
    later = monotonic() + 1000
    monkeypatch.setattr(leases, "monotonic", lambda: later)
    assert held.held() == {"waits": 1}


def test_the_deadline_of_an_account_is_the_setting(tmp_path: Path) -> None:
    intake = House(tmp_path, order_intake={"timeout_seconds": 42}).intake.made
    (lane,) = (lane for lane in intake.lanes() if lane.queue == INTAKE_ORDERS)
    assert lane.deadline == 42
