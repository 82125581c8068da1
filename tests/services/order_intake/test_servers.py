"""Orders wait for their server: while it is paused or fails, and while as many accounts are created there as may."""

from pathlib import Path
from typing import Any

import pytest

from foundation.hosting import Account, AccountRequest
from schemas.accounts import AccountRetrying
from schemas.orders import OrderCancel
from schemas.servers import ServerClosed, ServerOpened, ServerPause, ServerResume
from services.installer.servers.gate import shut
from services.installer.servers.standing import every
from services.order_intake.orders import ORDERS, Order
from sitecrew.cli.office.rows import order_of
from tests.support.audited import violations
from tests.support.house import START, Gate, House, failure
from tests.support.in_memory import event_of

STAFF = "/staff"


def find(house: House, number: int) -> Order | None:
    with house.intake.store.reading() as connection:
        return ORDERS.get(connection, f"order-{number}")


def order(house: House, number: int = 1) -> Order:
    found = find(house, number)
    assert found
    return found


def told(house: House, *kinds: type[Any]) -> list[Any]:
    """Return what was told of these kinds since it was asked for last."""
    return [event.data for event in house.events() if isinstance(event.data, kinds)]


def pause(house: House, **how: Any) -> None:
    house.publish(ServerPause(server="local", reason="a new disk", **how), source=STAFF)
    house.settle()


def test_no_account_is_created_on_a_paused_server_and_its_orders_are_woken_once_it_is_resumed(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    pause(house)
    for number in (1, 2):
        house.order(number)
    house.settle()
    house.advance(3600)  # they look by themselves meanwhile, and say nothing new
    waits = order(house)
    assert (waits.state, waits.attempt, house.server.calls) == ("accepted", 0, 0)
    assert waits.cause
    assert (waits.cause.code, waits.cause.detail) == ("server_paused", "local is paused: a new disk")
    assert len(told(house, AccountRetrying)) == 2, "each is told once"
    assert "waits for its server" in order_of(waits).next
    house.publish(ServerResume(server="local"), source=STAFF)
    house.settle()  # without any time that passes
    assert house.mailed(1, 2)
    assert (order(house).attempt, order(house).waiting_since) == (1, None)
    house.advance(3600)
    assert house.event_types().count("order.known") == 0, "its producer has not asked"


def test_an_order_says_the_same_of_its_server_as_an_install(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}}, servers={"local": {"breaker_failures": 1}})
    house.installer.failures = [failure("db_down")]
    house.order(1)
    house.settle()
    house.order(2)
    house.settle()
    (waits,) = told(house, AccountRetrying)
    with house.installing.store.reading() as connection:
        (standing,) = every(connection)
    assert waits.cause == shut(standing)
    house.advance_until(lambda: house.mailed(1, 2), minutes=60)
    assert order(house, 2).attempt == 1


def test_an_order_that_waits_can_be_cancelled(tmp_path: Path) -> None:
    house = House(tmp_path)
    pause(house)
    house.order(1)
    house.settle()
    house.publish(OrderCancel(order_id="order-1"), source=STAFF)
    house.publish(ServerResume(server="local"), source=STAFF)
    house.advance(3600)
    assert (order(house).state, house.server.calls) == ("cancelled", 0)


def test_a_pause_that_ends_by_itself_ends_the_wait(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    pause(house, until=START.replace(minute=START.minute + 5))
    house.order(1)
    house.settle()
    assert order(house).attempt == 0
    house.advance(301)
    assert order(house).state == "created"
    house.reconcile()
    assert house.mailed()


def test_on_a_limited_server_only_so_many_accounts_are_created_at_a_time_and_in_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}}, servers={"local": {"concurrency": 1}})
    gate, create, created = Gate(), house.server.create_account, list[str]()

    def slow(request: AccountRequest) -> Account:
        gate(None)  # type: ignore[arg-type]
        created.append(request.marker)
        return create(request)

    monkeypatch.setattr(house.server, "create_account", slow)
    house.order(1)
    house.run_until(gate.reached.is_set)
    for number in (2, 3, 4):
        house.order(number)
        house.run_until(lambda: (found := find(house, number)) and found.waiting_since)  # noqa: B023
    waits = order(house, 2)
    assert waits.cause
    assert (waits.cause.code, waits.cause.detail) == (
        "server_busy",
        "1 accounts are created on local, as many as may at a time",
    )
    gate.opened.set()
    house.settle()  # without any time that passes
    assert created == [f"order-{number}" for number in (1, 2, 3, 4)]
    assert {order(house, number).attempt for number in (1, 2, 3, 4)} == {1}


def test_of_two_news_of_a_server_the_later_one_counts_in_whatever_order_they_come(tmp_path: Path) -> None:
    house = House(tmp_path)
    early, late = ServerOpened(server="local", state="paused", since=START), ServerClosed(server="local")
    intake = house.intake.made.intake  # type: ignore[attr-defined]
    for data, seconds in ((late, 10), (early, 0)):
        with house.intake.database.begin() as uow:
            handler = intake.hosting.closed if data is late else intake.hosting.opened
            handler(uow, event_of(data, "/sitecrew/installer", seconds))
    house.order(1)
    house.settle()
    assert order(house).state == "created"


def test_that_a_server_was_resumed_is_asked_for_if_a_broker_has_lost_the_news(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    pause(house)
    house.order(1)
    house.settle()
    house.publish(ServerResume(server="local"), source=STAFF)
    house.installing.run_once()
    house.wipe()  # with `server.closed`, and the order's own next look
    house.settle()
    assert order(house).state == "accepted"
    assert [(one.code, one.subject) for one in violations(house)] == [("server_unheard", "local")]
    house.let_time_pass(steps=3, seconds=601)
    assert order(house).state == "created"
    assert house.event_types().count("service.described") == 3, "it asked once, and each service answered"
    house.reconcile()
    assert house.mailed()


def test_a_server_that_is_paused_for_long_is_asked_for_now_and_then_and_stays_paused(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    pause(house)
    for number in (1, 2, 3):
        house.order(number)
    house.let_time_pass(steps=4, seconds=600)
    assert order(house).state == "accepted"
    assert house.event_types().count("service.described") <= 4 * 3
    assert violations(house) == []


@pytest.mark.parametrize("state", ["paused", "open"])
def test_that_a_server_may_not_be_used_is_asked_for_if_a_broker_has_lost_the_news(tmp_path: Path, state: str) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}}, servers={"local": {"breaker_failures": 1}})
    house.order(1)
    house.settle()
    if state == "paused":
        house.publish(ServerPause(server="local", reason="a new disk"), source=STAFF)
    else:
        house.installer.failures = [failure("db_down")] * 9
        house.order(2)
        house.run_until(lambda: (found := find(house, 2)) and found.state == "created")
    house.installing.run_once()
    house.wipe()  # with `server.opened`
    house.advance(301)
    house.order(3)  # asks
    house.settle()
    before = house.server.calls
    house.order(4)
    house.settle()
    waits = order(house, 4)
    assert (waits.state, house.server.calls) == ("accepted", before)
    assert waits.cause
    assert waits.cause.code == ("server_paused" if state == "paused" else "server_failing")
