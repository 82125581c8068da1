"""A worker on a real RabbitMQ: work that outlasts the broker's patience, and what goes round and round."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import ORDERS, PARKING, UNROUTED
from foundation.clock import utc_now
from foundation.config import queues as table
from foundation.config.queues import INTAKE_ORDERS
from foundation.handling.outcomes import Done, Effect, Handler, Outcome, Retry
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.handling.worker import Worker
from foundation.store import Store
from schemas.envelope import Event
from schemas.orders import OrderCancelled
from tests.foundation.handling.test_worker import CAUSE
from tests.support.brokers import Brokers, Node, add_vhosts, eventually, until
from tests.support.house import PATIENCE, new_database
from tests.support.rows import no_rows

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def vhosts(breakable_node: Node) -> Iterator[str]:
    return iter(add_vhosts(breakable_node, [f"long-{number}" for number in range(5)]))


@pytest.fixture
def broker(brokers: Brokers) -> RabbitBroker:
    broker = brokers.broker(table.sitecrew(Ladder(unit_ms=50, levels=4)))
    for node in broker._nodes:
        node.heartbeat = 1
    broker.declare()
    return broker


@pytest.fixture
def impatient(breakable_node: Node) -> Iterator[None]:
    """A broker that gives a consumer two seconds for a delivery, and looks each second. Usual are 30 minutes."""
    own = {"consumer_timeout": "2000", "channel_tick_interval": "1000"}
    before = {name: breakable_node.ctl("eval", f"application:get_env(rabbit, {name}).") for name in own}
    for name, value in own.items():
        breakable_node.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")
    yield
    for name, told in before.items():
        value = told.strip().removeprefix("{ok,").removesuffix("}")
        breakable_node.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")


@contextmanager
def working(directory: Path, broker: RabbitBroker, handler: Handler) -> Iterator[Store]:
    """A worker and a relay in threads of their own."""
    (directory / "store.db").write_bytes(new_database())
    store, stop = Store(f"sqlite:///{directory / 'store.db'}"), threading.Event()
    relay = Relay(store, broker.publisher(), broker.topology, utc_now)
    worker = Worker(
        INTAKE_ORDERS,
        {OrderCancelled: handler},
        Database(store, "test", utc_now, relay.hand_over, no_rows),
        capacity=10,
        threads=4,
    )
    loops: list[Callable[[], None]] = [
        lambda: worker.run(broker.consumer(INTAKE_ORDERS, 10), stop),
        lambda: relay.run(stop),
    ]
    threads = [threading.Thread(target=loop) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield store
    finally:
        stop.set()
        relay.interrupt()
        for thread in threads:
            thread.join(PATIENCE)
        worker.close()
        store.close()


def send(broker: RabbitBroker, *order_ids: str) -> None:
    for order_id in order_ids:
        event = codec.envelope(OrderCancelled(order_id=order_id), id=order_id, source="/test", subject=order_id)
        message = Message(ORDERS, "order.cancelled.v1", codec.encode(event), order_id)
        assert broker.publisher().publish([message]) == ["confirmed"]


@pytest.mark.usefixtures("impatient")
def test_work_that_outlasts_heartbeats_and_the_consumer_timeout_is_done_once(
    tmp_path: Path, broker: RabbitBroker
) -> None:
    """The broker closes the channel and hands the message out again, and again; one act is at work all the while."""
    go, ran, recorded = threading.Event(), list[str](), list[str]()

    def handler(_uow: UnitOfWork, event: Event[Any]) -> Effect:
        name = event.data.order_id

        def run(_: None) -> None:
            ran.append(name)
            assert go.wait(4 * PATIENCE)

        def record(*_: object) -> Outcome:
            recorded.append(name)
            return Done()

        return Effect(None, run, record, lambda *_: Done())

    def closed() -> int:
        return sum("timed out" in str(line.get("reason")) for line in lines if line["event"] == "broker.channel_closed")

    with capture_logs() as lines, working(tmp_path, broker, handler):
        send(broker, "a", "b")
        until(lambda: closed() >= 2, 3 * PATIENCE)
        go.set()
        until(lambda: sorted(recorded) == ["a", "b"], PATIENCE)
        send(broker, "c")
        until(lambda: recorded[-1] == "c", PATIENCE)
        eventually(lambda: broker.depth(INTAKE_ORDERS), 0, PATIENCE)
    assert (sorted(ran), sorted(recorded)) == (["a", "b", "c"], ["a", "b", "c"])
    assert broker.depth(INTAKE_ORDERS) == broker.depth(PARKING) == 0


def test_what_is_tried_again_many_times_is_never_taken_for_a_cycle(tmp_path: Path, broker: RabbitBroker) -> None:
    """Brokers before 4.0.1 drop a message that has died in this queue before, if it says so itself."""
    tries: list[str] = []

    def handler(uow: UnitOfWork, event: Event[Any]) -> Outcome:
        tries.append(event.data.order_id)
        pause = timedelta(milliseconds=(60, 330)[len(tries) % 2])  # by some levels of the ladder, and by others
        return Retry(uow.now + pause, CAUSE) if tries.count(event.data.order_id) < 6 else Done()

    with working(tmp_path, broker, handler):
        send(broker, "a", "b")
        until(lambda: tries.count("a") == tries.count("b") == 6, 2 * PATIENCE)
        eventually(lambda: broker.depth(INTAKE_ORDERS), 0, PATIENCE)
    assert broker.depth(PARKING) == broker.depth(UNROUTED) == 0
    assert len(tries) == 12
