"""The audit of the broker: each thing that is broken on it is named, and nothing else."""

from datetime import timedelta
from pathlib import Path

import pytest

from foundation.broker import Message
from foundation.broker.topology import COMMANDS
from foundation.config.queues import MAILER_INSTALLS
from schemas.orders import OrderReinstallRequested
from sitecrew.audit import messages
from tests.support.house import House

pytestmark = pytest.mark.usefixtures("quiet")

DAY = timedelta(days=1)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.order()
    house.settle()
    return house


def found(house: House, *risks: str, later: timedelta = timedelta(0), pause: float = 0) -> list[str]:
    checked = messages.check(house.broker, risks, [], house.clock.now() + later, pause)
    return [f"{one.code} {one.subject}: {one.detail}" for one in checked]


def test_nothing_is_wrong_while_services_run_and_installs_wait_for_their_batch(house: House) -> None:
    assert house.broker.depth("installer.due")
    assert found(house) == []


def test_what_is_not_declared_and_what_policies_do_is_named(house: House) -> None:
    del house.broker._lines[MAILER_INSTALLS]
    missing, risk = found(house, "the policy 'x' deletes messages after 5 ms")
    assert missing.startswith(f"topology_differs broker: queue {MAILER_INSTALLS} is missing")
    assert risk == "queue_at_risk broker: the policy 'x' deletes messages after 5 ms"


def test_a_queue_in_which_messages_wait_for_nobody_is_named(house: House) -> None:
    house.unfinished = "no mailer runs"
    house.mailer.crash()
    house.services.remove(house.mailer)
    assert found(house) == [], "an empty one is nobody's loss"
    house.tick()
    assert found(house) == [f"queue_unconsumed {MAILER_INSTALLS}: 1 messages wait, and it has no consumer"]


def test_a_consumer_that_comes_back_by_the_second_look_was_not_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.mailer.crash()
    house.services.remove(house.mailer)
    house.tick()
    monkeypatch.setattr(messages, "sleep", lambda _seconds: house.mailer.reconnect())
    assert found(house, pause=3) == []
    house.services.append(house.mailer)
    house.settle()


def test_what_was_parked_a_day_ago_is_named_with_its_order(house: House) -> None:
    house.publish(OrderReinstallRequested(order_id="order-9"), time=house.clock.now() - DAY)
    house.settle()
    (parked,) = house.parked()
    assert found(house, later=DAY) == []
    (one,) = found(house, later=DAY + timedelta(seconds=1))
    assert one.startswith(f"parked_too_long {parked.name}: in parking since 2026-01-01T12:00:00Z (order order-9): ")


def test_what_says_no_time_has_to_be_looked_at_now(house: House) -> None:
    house.broker.publisher("guest").publish([Message(COMMANDS, "nobody.hears", b"{}", "m1")])
    assert found(house) == [
        "parked_too_long m1: in unrouted since nobody knows when: no queue is bound to its routing key"
    ]
