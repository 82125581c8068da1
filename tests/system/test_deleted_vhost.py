"""The virtual host of RabbitMQ is deleted in the middle of a hundred staged installs: once there is an empty one of its
name, all are completed, and nobody has to do anything for that."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from foundation.broker import Publisher
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.queues import INSTALLER_DUE, sitecrew
from services.installer.sites import Job
from services.installer.states import State
from tests.support.audited import violations
from tests.support.brokers import Node, add_vhosts
from tests.support.house import PATIENCE, House

pytestmark = pytest.mark.usefixtures("quiet")

COUNT = 100
_QUIET = 0.3
"""Seconds in which nothing moves, after which the clock is moved: what comes later is taken then."""


class HouseOnRabbit(House):
    """A house whose broker is a virtual host of a real node."""

    broker: Any

    def __init__(self, directory: Path, node: Node) -> None:
        self._node, self.deletions = node, 0
        (self._url,) = add_vhosts(node, ["house"])
        super().__init__(directory)

    def _new_broker(self) -> Any:
        broker = _Rabbit([self._url], sitecrew(Ladder()))
        broker.declare()
        return broker, broker.watch("events", "#")

    def delete_vhost(self) -> None:
        self.deletions += 1
        self._node.ctl("delete_vhost", "house")
        add_vhosts(self._node, ["house"])

    def close(self) -> None:
        self.broker.close()

    def settle(self) -> None:
        def work() -> bool:
            moved = sum(service.run_once() for service in self.services)
            return bool(moved) or not all(service.idle for service in self.services)

        _until_quiet(work)

    def tick(self) -> None:
        consumer = self.broker.consumer(INSTALLER_DUE, 4)
        _until_quiet(lambda: bool(self.batch.run_once(consumer, timeout=0)) or not self.batch.idle)
        self.batch.drain(consumer)
        self.settle()

    def states(self) -> Counter[State]:
        found = [self.find(f"order-{number}-g1") for number in range(COUNT)]
        return Counter(install.state for install in found if install)


def _until_quiet(work: Callable[[], bool]) -> None:
    """Call it again and again, until nothing has moved for a while."""
    deadline, quiet_since = monotonic() + PATIENCE, monotonic()
    while monotonic() < quiet_since + _QUIET:
        if work():
            quiet_since = monotonic()
        assert monotonic() < deadline, "it does not come to rest"
        sleep(0.005)


class _Rabbit(RabbitBroker):
    """Drives like the one in memory."""

    _tests: Publisher | None = None

    def publisher(self, user: str = "") -> Publisher:
        if not user:
            return super().publisher()
        self._tests = self._tests or super().publisher()
        return self._tests

    def expire(self) -> None:
        """Messages come when the node delivers them."""


def test_a_hundred_staged_installs_are_completed_though_their_vhost_is_deleted(
    tmp_path: Path, breakable_node: Node
) -> None:
    with closing(HouseOnRabbit(tmp_path, breakable_node)) as house:
        completes_all(house)


def completes_all(house: HouseOnRabbit) -> None:
    for number in range(COUNT):
        house.order(number)
    house.run_until(lambda: house.states()[State.STAGED] == COUNT)
    house.settle()
    house.delete_vhost()

    once = iter([house.delete_vhost])

    def delete_amid_the_batch(_job: Job) -> None:
        if len(house.installer.installed) >= COUNT // 3:  # several at a time pass here
            for delete in once:
                delete()

    house.installer.meanwhile = delete_amid_the_batch
    house.advance_until(lambda: house.mailed(*range(COUNT)) and not list(violations(house)), minutes=120, step=5)
    assert house.deletions == 2
    assert house.states() == {State.INSTALLED: COUNT}
    assert {job.order_id for job in house.installer.installed} == {f"order-{number}" for number in range(COUNT)}
    assert len(house.installer.installed) == COUNT
    assert len(house.server.accounts) == COUNT
    assert len({letter["To"] for letter in house.smtp.sent}) == len(house.smtp.sent) == COUNT
    assert house.parked() == []
