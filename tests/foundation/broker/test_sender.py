"""Who sent a message, and by which way: what permissions at the broker are worth depends on it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import Delivery, Message, codec
from foundation.broker.codec import Malformed
from foundation.broker.delay import DELIVER, destination
from foundation.broker.sender import OURSELVES, Sender, sender_of
from foundation.broker.topology import COMMANDS, EVENTS, ORDERS, PARKING, UNROUTED
from foundation.config.queues import INTAKE_ORDERS
from foundation.handling import parking, requeueing
from foundation.handling.outcomes import Done, Outcome, Park, Retry
from foundation.handling.unit_of_work import UnitOfWork
from schemas import catalogue
from schemas.envelope import Event
from schemas.files import golden_events
from schemas.orders import OrderCancelled, OrderReinstallRequested
from sitecrew.cli.client import sending
from tests.foundation.handling.test_worker import CAUSE, Lane
from tests.support.house import House, kind

SPOOFED = {"sitecrew-exchange": COMMANDS, "sitecrew-user-id": "root"}
SHOP = Sender(ORDERS, user_id="shop")


class Asking:
    """A handler that notes who sent what it handles, and then does as it is told."""

    def __init__(self, *results: Outcome) -> None:
        self.senders: list[Sender] = []
        self._results = list(results)

    def __call__(self, uow: UnitOfWork, _event: Event[Any]) -> Outcome:
        self.senders.append(uow.sender)
        return self._results.pop(0) if self._results else Done()


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    lane = Lane(tmp_path)
    yield lane
    lane.kill()


def cancelled(exchange: str = ORDERS, key: str = "order.cancelled.v1", **properties: Any) -> Message:
    event = codec.envelope(OrderCancelled(order_id="1042"), id="c1", source="/shop", subject="1042")
    return Message(exchange, key, codec.encode(event), "c1", **properties)


def send(lane: Lane, message: Message, user_id: str = "shop") -> None:
    assert lane.broker.publisher(user_id).publish([message]) == ["confirmed"]


def later(lane: Lane, seconds: float = 60) -> None:
    lane.rest()
    lane.clock.moment += timedelta(seconds=seconds)
    lane.broker.expire()
    lane.rest()


def requeue(lane: Lane | House) -> None:
    """As staff do, who have a user of their own."""
    chosen = [parking.read(delivery) for delivery in lane.broker.browse(PARKING, 10)]
    assert [outcome for _, outcome in requeueing.requeue(lane.broker, PARKING, chosen, sending.event)] == [
        "confirmed"
    ] * len(chosen)


def test_a_handler_learns_who_sent_what_it_handles(lane: Lane) -> None:
    lane.handler = asking = Asking()
    send(lane, cancelled(headers=SPOOFED))
    lane.rest()
    assert asking.senders == [SHOP]
    assert (SHOP.is_producer, SHOP.is_ourselves) == (True, False)


def test_the_first_sender_stays_the_sender_on_every_way_round(lane: Lane) -> None:
    lane.handler = asking = Asking(Retry(lane.clock.now() + timedelta(seconds=9), CAUSE), Park(CAUSE))
    send(lane, cancelled(headers=SPOOFED))
    later(lane)
    requeue(lane)
    lane.rest()
    assert asking.senders == [SHOP] * 3


def test_what_the_broker_parks_goes_back_as_its_first_senders(lane: Lane) -> None:
    lane.handler = asking = Asking()
    lane.worker.close()
    lane.consumer.close()
    reason = {"parked-from": "mailer.commands", "reason-code": "harmless"}
    send(lane, cancelled(headers={**SPOOFED, **reason}))
    for _ in range(21):
        lane.broker.consumer(INTAKE_ORDERS, 1).close()
    (parked,) = [parking.read(delivery) for delivery in lane.broker.browse(PARKING, 10)]
    assert (parked.code, parked.came_from, parked.sender) == ("delivery_limit", INTAKE_ORDERS, SHOP)
    lane.open()
    requeue(lane)
    lane.rest()
    assert asking.senders == [SHOP]


def test_what_a_service_puts_into_its_own_queue_is_its_own(lane: Lane) -> None:
    lane.handler = asking = Asking(Retry(lane.clock.now() + timedelta(seconds=9), CAUSE))
    with lane.worker._database.begin() as uow:
        uow.redeliver(OrderCancelled(order_id="1042"), INTAKE_ORDERS, "1042")
    lane.relay.run_once(timeout=0)
    later(lane)
    assert asking.senders == [OURSELVES] * 2
    assert OURSELVES.is_ourselves
    assert not OURSELVES.is_producer


@pytest.mark.parametrize("exchange", ["shop-gateway", PARKING, "delay", "Orders", "amq.topic"])
def test_headers_are_believed_on_our_own_ways_only(exchange: str) -> None:
    delivery = Delivery(INTAKE_ORDERS, b"", "", "", "", SPOOFED, 0, 1, 1, exchange, "x", "mallory")
    assert sender_of(delivery) == Sender(exchange, user_id="mallory")
    assert sender_of(delivery).is_producer


@pytest.mark.parametrize("exchange", ["", DELIVER, "delay.0", "delay.19"])
def test_and_believed_there(exchange: str) -> None:
    delivery = Delivery(INTAKE_ORDERS, b"", "", "", "", SHOP.headers, 0, 1, 1, exchange, "x", "sitecrew")
    assert sender_of(delivery) == SHOP


@pytest.mark.parametrize("exchange", ["", DELIVER, "delay.0", COMMANDS, EVENTS])
@pytest.mark.parametrize("user_id", ["mallory", ""])
def test_a_death_that_a_producer_has_made_up_is_no_way_of_ours(exchange: str, user_id: str) -> None:
    died = {"queue": INTAKE_ORDERS, "reason": "delivery_limit", "exchange": exchange, "count": 2}
    delivery = Delivery(PARKING, b"", "", "", "", {**SPOOFED, "x-death": [died]}, 0, 1, 1, "dead-letters", "x", user_id)
    for user in ("sitecrew", ""):
        assert parking.read(delivery, user).sender == Sender(ORDERS, user_id=user_id)


def test_what_died_on_our_way_and_bears_our_name_is_still_its_first_senders() -> None:
    died = {"queue": INTAKE_ORDERS, "reason": "delivery_limit", "exchange": DELIVER, "count": 1}
    headers = {**SHOP.headers, "x-death": [died]}
    delivery = Delivery(PARKING, b"", "", "", "", headers, 0, 1, 1, "dead-letters", "x", "sitecrew")
    assert parking.read(delivery, "sitecrew").sender == SHOP


@pytest.mark.parametrize(
    "headers",
    [
        {"x-death": [{"queue": "installer.commands", "reason": "delivery_limit", "exchange": COMMANDS}]},
        {"x-first-death-queue": "installer.commands", "x-first-death-reason": "delivery_limit"},
        {"parked-from": "installer.commands", **SPOOFED},
    ],
    ids=str,
)
def test_what_no_queue_took_goes_nowhere_whatever_its_headers_say(headers: dict[str, Any]) -> None:
    parked = parking.read(Delivery(UNROUTED, b"", "", "", "", headers, 0, 1, 1, ORDERS, "x", "mallory"))
    assert (parked.can_go_back, parked.code) == (False, "")


# Types, keys and exchanges


@pytest.mark.parametrize(
    "key", ["order.placed.v1", "order.cancelled.v2", "order.cancelled", "", "order.cancelled.v1.x"]
)
def test_a_routing_key_that_is_not_the_types_own_is_refused(lane: Lane, key: str) -> None:
    lane.handler = asking = Asking()
    send(lane, cancelled(key=key))
    lane.rest()
    (parked,) = lane.parked()
    assert (parked.headers["reason-code"], parked.headers["field"]) == ("routing_key_mismatch", "routing_key")
    assert "order.cancelled.v1" in str(parked.headers["reason"])
    assert asking.senders == []


def test_staff_may_requeue_what_had_the_wrong_key(lane: Lane) -> None:
    lane.handler = asking = Asking()
    send(lane, cancelled(key="order.placed.v1"))
    lane.rest()
    requeue(lane)
    lane.rest()
    assert asking.senders == [SHOP]


@pytest.mark.parametrize("entry", catalogue.CATALOGUE, ids=lambda entry: entry.routing_key)
def test_a_type_comes_by_its_own_exchange_with_its_own_key_or_not_at_all(entry: catalogue.EventType) -> None:
    def came(exchange: str, key: str) -> Delivery:
        return Delivery("q", minimal(entry), codec.CONTENT_TYPE, "", "", {}, 0, 1, 1, exchange, key)

    assert codec.read(came(entry.exchange, entry.routing_key)).type == entry.name
    assert codec.read(came(DELIVER, destination("q"))).type == entry.name
    for other in {ORDERS, EVENTS, COMMANDS} - {entry.exchange}:
        with pytest.raises(Malformed) as refused:
            codec.read(came(other, entry.routing_key))
        assert refused.value.code == "wrong_exchange"
    with pytest.raises(Malformed) as refused:
        codec.read(came(entry.exchange, f"{entry.routing_key}x"))
    assert refused.value.code == "routing_key_mismatch"


def minimal(entry: catalogue.EventType) -> bytes:
    return next(event.content for event in golden_events() if event.file == f"{entry.routing_key}/minimal.json")


def test_a_producer_who_may_only_place_orders_reinstalls_nobodys_site(tmp_path: Path) -> None:
    """Topic permissions let him write `order.placed.v1` alone; the type stands in the body."""
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.order(1)
    house.settle()
    again = codec.envelope(OrderReinstallRequested(order_id="order-1"), id="r1", source="/other", subject="order-1")
    house.broker.publisher("other").publish([Message(ORDERS, "order.placed.v1", codec.encode(again))])
    house.settle()
    assert len(house.installer.installed) == 1
    (rejected,) = (event for event in house.events() if kind(event.type) == "order.rejected")
    assert (rejected.data.cause.code, rejected.data.order_id) == ("routing_key_mismatch", "order-1")
