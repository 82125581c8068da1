"""What the broker parks by itself, because its workers ended again and again: somebody hears of it."""

import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foundation.broker import Message, codec
from foundation.broker.limits import MAX_BYTES
from foundation.broker.topology import ORDERS, PARKING
from foundation.config.queues import INTAKE_ORDERS, MAILER_INSTALLS, PARKED
from foundation.handling import parking
from foundation.handling.dead_letters import DeadLetters
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics
from schemas.values import Cause
from services.order_intake.rejections import reject_unreadable
from tests.support.house import House, kind


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites={"wordpress": {"stage": False}})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("tests")


@pytest.fixture
def look(house: House, metrics: Metrics) -> DeadLetters:
    return DeadLetters(house.intake.database, INTAKE_ORDERS, reject_unreadable, metrics, Heartbeats())


def killed(house: House, queue: str) -> None:
    """Handed out and never settled, too often; what is at work goes on."""
    for service in house.services:
        service.crash()
    while house.broker.depth(queue):
        house.broker.consumer(queue, 10).close()


def heard(house: House, look: DeadLetters) -> list[tuple[str, Cause]]:
    consumer = house.broker.consumer(PARKED, 10)
    while look.run_once(consumer, threading.Event(), 0):
        pass
    consumer.close()
    house.intake.relay.run_once(timeout=0)
    found = [event.data for event in house.events() if kind(event.type) == "order.rejected"]
    return [(data.order_id, data.cause) for data in found]


def dead(metrics: Metrics, queue: str) -> float:
    labels = {"queue": queue, "reason": "delivery_limit"}
    return metrics.registry.get_sample_value("sitecrew_dead_lettered_messages_total", labels) or 0.0


def test_an_order_that_ends_its_workers_is_rejected(house: House, look: DeadLetters, metrics: Metrics) -> None:
    placed = house.order(1)
    killed(house, INTAKE_ORDERS)
    with capture_logs() as lines:
        ((order_id, cause),) = heard(house, look)
    assert (order_id, cause.code) == ("order-1", "delivery_limit")
    assert "parked requeue" in cause.remedy
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("message.dead_lettered", "error"),
        ("order.rejected", "warning"),
    ]
    assert dead(metrics, INTAKE_ORDERS) == 1
    (parked,) = house.parked()
    assert codec.decode(parked.body) == placed


@pytest.mark.parametrize("body", [b"\xff", b"{}", b"[" * 10_000, b'{"id": 1, "data": []}'])
def test_so_is_what_can_hardly_be_read(house: House, look: DeadLetters, body: bytes) -> None:
    house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", body)])
    killed(house, INTAKE_ORDERS)
    ((order_id, cause),) = heard(house, look)
    assert (order_id, cause.code) == ("unknown", "delivery_limit")


def test_what_died_on_its_way_to_others_is_counted_and_told_to_staff_only(
    house: House, look: DeadLetters, metrics: Metrics
) -> None:
    house.broker.publisher().publish([Message("", MAILER_INSTALLS, b"{}")])
    killed(house, MAILER_INSTALLS)
    assert heard(house, look) == []
    assert dead(metrics, MAILER_INSTALLS) == 1


def test_what_services_park_they_have_told_of_themselves(house: House, look: DeadLetters) -> None:
    large = b"x" * (MAX_BYTES + 1)
    bodies = [Message(ORDERS, "order.placed.v1", body) for body in (b"{", large)]
    house.broker.publisher().publish(bodies)
    house.settle()
    codes = [event.data.cause.code for event in house.events() if kind(event.type) == "order.rejected"]
    assert sorted(codes) == ["not_json", "too_large"]
    assert heard(house, look) == []
    parked = {parking.read(delivery).code: parking.read(delivery) for delivery in house.broker.browse(PARKING, 10)}
    assert set(parked) == {"not_json", "too_large"}
    assert parked["too_large"].reason == f"it has {MAX_BYTES + 1} bytes; the limit is {MAX_BYTES}"
    assert parked["too_large"].delivery.body == large
