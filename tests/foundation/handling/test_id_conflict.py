"""An event's name is its source and id. Another event under a known name is no duplicate: it is refused, loudly."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import Message, codec
from foundation.broker.topology import ORDERS
from foundation.handling.outcomes import Done, Park, Retry
from schemas import catalogue
from schemas.envelope import Event
from schemas.orders import OrderCancelled, OrderPlaced, OrderReinstallRequested
from schemas.values import Model
from tests.foundation.broker.test_sender import Asking, later, requeue
from tests.foundation.handling.test_worker import CAUSE, Lane
from tests.support.house import House, kind


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    lane = Lane(tmp_path)
    yield lane
    lane.kill()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites={"wordpress": {"stage": False}})


def order(number: int = 1, **changes: Any) -> OrderPlaced:
    customer = {"name": "Jo Miller", "email": f"jo{number}@customer.example"}
    fields = {"order_id": f"order-{number}", "site_type": "wordpress", "domain": f"shop{number}.example"}
    return OrderPlaced.model_validate({**fields, "customer": customer, **changes})


def send(to: House | Lane, data: Model, id: str, user_id: str = "shop", **attributes: Any) -> Event[Any]:
    entry = catalogue.by_model(type(data))
    event = codec.envelope(data, id=id, source="/shop", subject=data.order_id, **attributes)  # type: ignore[attr-defined]
    message = Message(ORDERS, entry.routing_key, codec.encode(event), id)
    assert to.broker.publisher(user_id).publish([message]) == ["confirmed"]
    return event


def rejected(house: House) -> list[tuple[str, str]]:
    found = [event.data for event in house.events() if kind(event.type) == "order.rejected"]
    return [(data.order_id, data.cause.code) for data in found]


def test_an_identity_that_another_producer_used_up_makes_no_order_vanish(house: House) -> None:
    """He guessed that "2000-placed" would be the id of the order 2000."""
    send(house, order(7), "2000-placed", "mallory")
    house.settle()
    send(house, order(2000), "2000-placed", "shop")
    house.settle()
    assert rejected(house) == [("order-2000", "id_conflict")]
    (parked,) = house.parked()
    assert parked.headers["reason-code"] == "id_conflict"
    send(house, order(2000), "2000-placed-again", "shop")
    house.settle()
    assert [job.order_id for job in house.installer.installed] == ["order-7", "order-2000"]


def test_the_same_event_of_two_users_is_two_events(house: House) -> None:
    """Who copies an order of another's word for word must not pass for him."""
    send(house, order(), "1-placed", "mallory")
    house.settle()
    send(house, order(), "1-placed", "shop")
    house.settle()
    assert rejected(house) == [("order-1", "id_conflict")]


@pytest.mark.parametrize(("first", "second"), [("shop", "shop"), ("", "shop"), ("shop", ""), ("", "")])
def test_the_same_event_again_changes_nothing(house: House, first: str, second: str) -> None:
    """Also from a producer who begins to give his user's name, or ceases to."""
    for user_id in (first, second):
        send(house, order(), "1-placed", user_id)
        house.settle()
    assert (rejected(house), house.parked()) == ([], [])
    assert len(house.installer.installed) == 1


@pytest.mark.parametrize(
    ("known", "other"),
    [
        (OrderCancelled(order_id="order-1"), OrderCancelled(order_id="order-2")),
        (OrderCancelled(order_id="order-1"), OrderCancelled(order_id="order-1", reason="payment failed")),
        (OrderCancelled(order_id="order-1"), OrderReinstallRequested(order_id="order-1")),
        (OrderReinstallRequested(order_id="order-1"), OrderReinstallRequested(order_id="order-1", blog_name="New")),
    ],
)
def test_every_kind_of_event_is_known_by_what_it_says(tmp_path: Path, known: Model, other: Model) -> None:
    house = House(tmp_path)
    send(house, order(1), "1-placed")
    send(house, order(2), "2-placed")
    house.settle()
    send(house, known, "same")
    house.settle()
    assert (rejected(house), house.parked()) == ([], [])
    send(house, other, "same")
    house.settle()
    assert [code for _, code in rejected(house)] == ["id_conflict"]
    assert len(house.parked()) == 1


def test_another_event_under_the_name_of_one_that_is_being_acted_on_is_refused(lane: Lane) -> None:
    acting = lane.hold()
    send(lane, OrderCancelled(order_id="one"), "same")
    lane.run_until(lambda: acting.at_work)
    send(lane, OrderCancelled(order_id="two"), "same")
    send(lane, OrderCancelled(order_id="one"), "same")
    lane.until(lambda: not lane.turn())
    lane.relay.run_once(timeout=0)
    (parked,) = lane.parked()
    assert (parked.headers["reason-code"], b'"two"' in parked.body) == ("id_conflict", True)
    acting.go.set()
    lane.rest()
    assert (acting.ran, acting.recorded) == (["one"], ["one"])


def test_two_events_of_one_name_that_come_together_are_told_apart(lane: Lane) -> None:
    lane.handler = asking = Asking()
    for order_id in ("one", "two", "one"):
        send(lane, OrderCancelled(order_id=order_id), "same")
    lane.rest()
    assert len(asking.senders) == 1
    (parked,) = lane.parked()
    assert b'"two"' in parked.body


def test_what_is_written_otherwise_and_says_the_same_is_the_same(lane: Lane) -> None:
    lane.handler = asking = Asking()
    event = send(lane, OrderCancelled(order_id="one"), "same")
    spaced = codec.encode(event).replace(b",", b" , ").replace(b'"data":{', b'"data":{"reason":null,"new":1,')
    lane.broker.publisher("shop").publish([Message(ORDERS, "order.cancelled.v1", spaced)])
    send(lane, OrderCancelled(order_id="one"), "same", time=lane.clock.now())
    lane.rest()
    assert (len(asking.senders), lane.parked()) == (1, [])


def test_our_own_retries_and_requeues_are_the_same_event(lane: Lane) -> None:
    lane.handler = asking = Asking(Retry(lane.clock.now() + timedelta(seconds=9), CAUSE), Park(CAUSE), Done())
    send(lane, OrderCancelled(order_id="one"), "same")
    later(lane)
    requeue(lane)
    lane.rest()
    send(lane, OrderCancelled(order_id="one"), "same")
    lane.rest()
    assert (len(asking.senders), lane.parked()) == (3, [])


def test_a_name_that_was_used_up_while_its_event_waited_is_told_to_who_sent_it(house: House) -> None:
    """A cancel that overtook its order waits for it; the order bears the cancel's own id."""
    send(house, OrderCancelled(order_id="order-1"), "same", time=house.clock.now())
    house.settle()
    send(house, order(), "same")
    house.advance_until(lambda: bool(house.parked()))
    assert rejected(house) == [("order-1", "id_conflict")]


def test_what_was_corrected_and_sent_again_is_not_rejected_when_the_old_one_is_requeued(house: House) -> None:
    send(house, order(site_type="no-such-type"), "1-placed")
    house.settle()
    send(house, order(), "1-placed")
    house.settle()
    assert rejected(house) == [("order-1", "invalid_order")]
    requeue(house)
    house.settle()
    assert rejected(house) == []
    assert [parked.headers["reason-code"] for parked in house.parked()] == ["id_conflict"]
