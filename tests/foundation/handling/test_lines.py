"""Lines that swallow packets, alarms, and a node that stops answering: nobody ends, and everything goes on."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
from structlog.testing import capture_logs

from foundation.broker import Confirmation, Message
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import ORDERS
from foundation.config import queues as table
from foundation.config.queues import INSTALLER_DUE, INTAKE_ORDERS
from foundation.config.settings import Timer
from foundation.errors import BrokerUnreachable
from foundation.handling.unit_of_work import Database
from foundation.handling.worker import Worker
from foundation.store import Store
from services.installer.batch import Batches
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from tests.support.brokers import BOOT, Brokers, Node, add_vhosts, gather, until
from tests.support.peers import Line
from tests.support.rows import no_rows

pytestmark = pytest.mark.timeout(240)

TOPOLOGY = table.sitecrew(Ladder(unit_ms=50, levels=2))
SECONDS = 60.0
ALARMS = {
    "disk": (("set_disk_free_limit", "9000000000000"), ("set_disk_free_limit", "50000000")),
    "memory": (("set_vm_memory_high_watermark", "0.00001"), ("set_vm_memory_high_watermark", "0.4")),
}


@pytest.fixture(scope="module")
def vhosts(breakable_node: Node) -> Iterator[str]:
    return iter(add_vhosts(breakable_node, [f"lines-{number}" for number in range(10)]))


@pytest.fixture
def url(brokers: Brokers) -> str:
    url = brokers.url()
    brokers.broker(TOPOLOGY, url).declare()
    return url


@pytest.fixture(params=ALARMS, scope="class")
def alarm(request: pytest.FixtureRequest, breakable_node: Node) -> Iterator[None]:
    raised, ended = ALARMS[request.param]
    breakable_node.ctl(*raised)
    yield
    breakable_node.ctl(*ended)


@contextmanager
def broker_on_a_line(url: str, patience: float) -> Iterator[tuple[Line, RabbitBroker]]:
    port = url.rpartition(":")[2].partition("/")[0]
    with closing(Line(int(port))) as line:
        through = f"{url.replace(f':{port}/', f':{line.port}/')}?heartbeat=2"
        with closing(RabbitBroker([through], TOPOLOGY, patience=patience)) as broker:
            yield line, broker


def order(number: int) -> Message:
    return Message(ORDERS, "order.placed.v1", b"order", message_id=f"m{number}")


def test_a_line_that_swallows_packets_is_noticed_by_both_ends_of_the_work(url: str) -> None:
    """No connection is closed, nothing is refused: only heartbeats tell."""
    with broker_on_a_line(url, patience=3) as (line, broker):
        publisher, consumer = broker.publisher(), broker.consumer(INTAKE_ORDERS, 10)
        assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
        consumer.settle(gather(consumer, 1, SECONDS))
        assert broker.lost_for() == 0
        line.cut()
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publisher.publish, [order(2)], SECONDS)
            until(lambda: broker.disconnected() == [INTAKE_ORDERS, "publisher"], SECONDS)
            until(lambda: broker.lost_for() > 1, SECONDS)
            line.mend()
            assert publishing.result(SECONDS) == [Confirmation.CONFIRMED]
            until(lambda: broker.lost_for() == 0, SECONDS)
        come: set[str] = set()

        def has_come() -> bool:
            taken = consumer.take(10, 1)  # the first may come again: what settled it may have been swallowed, too
            come.update(delivery.message_id for delivery in taken)
            consumer.settle(taken)
            return "m2" in come

        until(has_come, SECONDS)


def test_a_question_on_a_line_that_swallows_packets_ends(url: str) -> None:
    with broker_on_a_line(url, patience=1) as (line, broker):
        assert broker.depth(INTAKE_ORDERS) == 0
        line.cut()
        with pytest.raises(BrokerUnreachable, match="no answer within 1 s"):
            broker.depth(INTAKE_ORDERS)


@pytest.mark.usefixtures("alarm")
class TestInAnAlarm:
    def test_who_publishes_can_be_closed_at_once(self, url: str) -> None:
        broker = RabbitBroker([url], TOPOLOGY)
        publisher = broker.publisher()
        assert publisher.publish([order(1)], timeout=1) == [Confirmation.UNKNOWN]
        began = monotonic()
        broker.close()
        assert monotonic() - began < 10, "the broker does not read that we close"

    def test_it_is_seen_and_asking_for_it_ends(self, url: str) -> None:
        with closing(RabbitBroker([url], TOPOLOGY)) as broker:
            assert broker.alarm() in {"low on disk", "low on memory"}
            assert broker.depth(INTAKE_ORDERS) == 0


def test_a_connection_that_stays_blocked_is_given_up_and_what_it_held_is_sent_on_the_next(
    url: str, breakable_node: Node
) -> None:
    with closing(RabbitBroker([f"{url}?blocked_connection_timeout=1"], TOPOLOGY)) as broker, capture_logs() as lines:
        publisher = broker.publisher()
        assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
        with ThreadPoolExecutor(1) as pool:
            breakable_node.ctl("set_disk_free_limit", "9000000000000")
            try:
                until(lambda: broker.alarm() != "", SECONDS)  # before, what is published may yet be taken
                publishing = pool.submit(publisher.publish, [order(2)], BOOT)
                until(lambda: any("has blocked it for too long" in str(line.get("reason")) for line in lines), SECONDS)
            finally:
                breakable_node.ctl("set_disk_free_limit", "50000000")
            assert publishing.result(BOOT) == [Confirmation.CONFIRMED]


def test_a_size_that_is_taken_is_seen(url: str) -> None:
    with closing(RabbitBroker([url], TOPOLOGY)) as broker:
        assert broker.takes(1_048_577), "RabbitMQ's own limit is 16 MiB or more"


def test_a_node_that_stops_answering_for_longer_than_every_timeout_ends_nobody(
    url: str, breakable_node: Node, tmp_path: Path
) -> None:
    """A virtual machine that is paused, and goes on. The batch asks for the queue's depth at each tick."""
    if not isinstance(breakable_node, PrivateRabbit):
        pytest.skip("only a node that is a process of ours can be stopped")
    store = Store(f"sqlite:///{tmp_path}/store.db")
    store.migrate([])
    with closing(RabbitBroker([f"{url}?heartbeat=2"], TOPOLOGY, patience=1)) as broker, capture_logs() as lines:
        depths: list[int | None] = []

        def depth() -> int | None:
            depths.append(broker.depth(INSTALLER_DUE))
            return depths[-1]

        database = Database(store, "test", lambda: datetime.now(UTC), lambda *_: None, no_rows)
        worker, stop = Worker(INSTALLER_DUE, {}, database, capacity=4), threading.Event()
        batches = Batches(
            Timer(every="* * * * * *", jitter_seconds=0),
            worker,
            lambda: broker.consumer(INSTALLER_DUE, 4),
            depth,
            lambda: datetime.now(UTC),
        )
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(batches.run, stop)
            until(lambda: len(depths) > 0, SECONDS)
            os.killpg(breakable_node.pid, signal.SIGSTOP)
            try:
                until(lambda: any(line["event"] == "batch.interrupted" for line in lines) or running.done(), SECONDS)
            finally:
                os.killpg(breakable_node.pid, signal.SIGCONT)
            seen = len(depths)
            try:
                until(lambda: len(depths) > seen or running.done(), BOOT)
                assert not running.done(), "a broker that is silent is no reason to end"
            finally:
                stop.set()
            running.result(SECONDS)
    store.close()
