"""The priority of an order: through which queues its installs go, and before whom they stand in line."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from foundation.config.queues import DUE
from schemas.orders import OrderReinstallRequested
from services.installer.states import State
from tests.support.house import Gate, House, failure


def test_the_first_attempt_the_next_one_and_a_reinstall_are_of_the_orders_priority(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.order(1, priority="high")
    house.order(2, priority="low")
    house.order(3)

    def due() -> tuple[int, ...]:
        house.settle()
        return tuple(house.broker.depths(DUE.values()).values())

    assert due() == (1, 1, 1)
    house.installer.failures = [failure("db_down")] * 3
    house.tick()
    house.advance(100)
    assert due() == (1, 1, 1)
    house.tick()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.publish(OrderReinstallRequested(order_id="order-2"))
    assert due() == (1, 0, 1)
    house.tick()


def test_where_nothing_is_staged_an_urgent_one_overtakes_what_is_due_as_well(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False, "settle_seconds": 60}})
    for number in range(1, 31):
        house.order(number)
    house.order(31, priority="high")
    house.settle()
    house.advance(61)
    done = [job.order_id for job in house.installer.installed]
    assert len(done) == 31
    assert done.index("order-31") < 15


def test_in_line_for_a_server_high_counts_as_a_day_and_low_as_less_than_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}}, servers={"local": {"concurrency": 1}})
    house.installer.meanwhile = gate = Gate()
    house.order(1)
    house.run_until(gate.reached.is_set)
    for number, priority in ((2, None), (3, "low"), (4, "normal"), (5, "high")):
        house.clock.moment += timedelta(minutes=10)
        house.order(number, priority=priority)
        house.run_until(partial(house.is_in, State.WAITING, f"order-{number}-g1"))
    gate.opened.set()
    house.settle()
    assert [job.order_id[-1] for job in house.installer.installed] == [*"15243"]
