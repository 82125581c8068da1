"""Orders pass a cluster of three nodes while one is killed, one is cut off, and two are away: each is done once.

Some 75 seconds of processor time, most of it RabbitMQ's.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from bench import stages
from foundation.broker import Publisher
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.queues import INTAKE_ORDERS, sitecrew
from sitecrew.stack.process_group import side_by_side
from tests.support.brokers import IMAGE, until
from tests.support.cluster import Cluster, cluster
from tests.support.crew import OFTEN, Crew, working

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not IMAGE, reason="its nodes are containers: script/test --containers"),
]

SERVICES = ("order-intake", "installer", "mailer")
SOON = {"SITECREW_AMQP_PROBE_TIMEOUT_SECONDS": "5"}
AWAY = 30.0
"""Seconds for which the majority is away."""
PATIENCE = 120.0
_PAUSE = 0.5
"""Seconds between two orders."""


class Shop:
    """Places an order every now and then, again and again until the broker has it."""

    def __init__(self, url: str, crew: Crew) -> None:
        self._url, self._crew = url, crew
        self._closed = Event()
        self.placed = 0

    def goes_on(self) -> None:
        """Wait until orders are done that are placed from now on, and all before them."""
        wanted = self.placed + 3
        until(lambda: self._done() >= wanted, PATIENCE)

    def rests(self) -> bool:
        return self._done() >= self.placed

    def _done(self) -> int:
        return sum(what == "mail" for what, *_ in self._crew.notes)

    @contextmanager
    def opened(self) -> Iterator[None]:
        seller = Thread(target=self._sell, name="shop")
        seller.start()
        try:
            yield
        finally:
            self._closed.set()
            seller.join()

    def _sell(self) -> None:
        while not self._closed.is_set():
            with closing(RabbitBroker([self._url], sitecrew(Ladder()), "shop")) as broker:
                self._sell_by(broker.publisher())

    def _sell_by(self, publisher: Publisher) -> None:
        """Sell until the broker does not confirm: it is not for us to test how a producer changes its node."""
        while not self._closed.wait(_PAUSE):
            if publisher.publish([stages.order(str(self.placed))], 5) != ["confirmed"]:
                return
            self.placed += 1


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Cluster]:
    with cluster(IMAGE or "") as made:
        yield made


def test_a_cluster_that_loses_nodes_loses_no_order_and_doubles_none(tmp_path: Path, three_nodes: Cluster) -> None:
    stores = {name: f"sqlite:///{tmp_path}/{name}.db" for name in SERVICES}
    urls = {name: three_nodes.url(name) for name in SERVICES}
    environment = stages.environment(three_nodes.url("admin"), stores, {}) | OFTEN | SOON
    (tmp_path / "notes").touch()
    with working(tmp_path, environment, [(name, 0) for name in SERVICES], urls) as crew:
        shop = Shop(three_nodes.url("shop"), crew)
        with shop.opened():
            shop.goes_on()
            lose_the_leader(three_nodes, shop)
            cut_off_the_leader(three_nodes, shop)
            lose_the_majority(three_nodes, shop)
        until(shop.rests, PATIENCE)
        audit = [sys.executable, "-m", "sitecrew", "audit"]
        done = subprocess.run(audit, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    orders = [f"o{number}" for number in range(shop.placed)]
    assert Counter(order for what, order, *_ in crew.notes if what == "account") == Counter(orders)
    assert Counter(order for what, order, *_ in crew.notes if what == "install") == Counter(orders)
    customers = [f"jo{number}@customer.example" for number in range(shop.placed)]
    assert Counter(whom for what, whom, *_ in crew.notes if what == "mail") == Counter(customers)


def lose_the_leader(three_nodes: Cluster, shop: Shop) -> None:
    leader = three_nodes.leader(INTAKE_ORDERS)
    leader.kill()
    shop.goes_on()
    leader.start()
    shop.goes_on()


def cut_off_the_leader(three_nodes: Cluster, shop: Shop) -> None:
    leader = three_nodes.leader(INTAKE_ORDERS)
    until(leader.is_dispensable, PATIENCE)
    assert leader.connections() > len(SERVICES)
    leader.cut_off()
    three_nodes.leader(INTAKE_ORDERS, without=leader)
    shop.goes_on()  # whoever was connected there has left
    leader.join()
    shop.goes_on()


def lose_the_majority(three_nodes: Cluster, shop: Shop) -> None:
    two = three_nodes.nodes[:2]
    side_by_side([node.kill for node in two])
    Event().wait(AWAY)
    side_by_side([node.start for node in two])
    shop.goes_on()
