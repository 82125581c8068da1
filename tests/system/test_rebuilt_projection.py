"""A projection that is lost in the middle of 300 orders, on a broker that is killed and whose connections are cut, with
services that are killed, and events that come again and late: rebuilt, it equals the three services' stores."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import select

from bench import stages
from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import EVENTS, ORDERS
from foundation.config.queues import API_EVENTS, with_api
from foundation.errors import StoreUnreachable
from foundation.handling.unit_of_work import new_id
from foundation.store import Store
from schemas import catalogue
from schemas.orders import OrderCancelled
from services.api.projection.activity import activity
from tests.support.brokers import Node, until
from tests.support.crew import OFTEN, Ears, working
from tests.support.projected import rows_in, seen_in

pytestmark = [pytest.mark.timeout(420), pytest.mark.endurance]

COUNT, AT_A_TIME = 300, 25
SERVICES = ("order-intake", "installer", "mailer", "api")
_CUT = '[rabbit_networking:close_connection(Pid, "chaos") || Pid <- rabbit_networking:connections()].'


class Chaos:
    """What is published on a broker that comes and goes."""

    def __init__(self, node: Node, chance: random.Random) -> None:
        self._node, self._chance = node, chance
        self.broker = RabbitBroker([node.amqp_url], with_api(Ladder()), "tests")
        self.broker.declare()
        self._publisher = self.broker.publisher()
        self._ears = Ears(self.broker.watch(EVENTS, "#"))

    def publish(self, messages: Sequence[Message]) -> None:
        """Until the broker has them all; some it may have twice."""
        until(lambda: set(self._publisher.publish(messages, 5)) <= {"confirmed"}, 120)

    def repeat(self) -> None:
        """Have some of what was ever said come again, in whatever order."""
        self._ears.listen()
        bodies = self._chance.sample(list(self._ears.bodies.values()), min(60, len(self._ears.bodies)))
        self.publish([_again(body) for body in bodies])

    def cut(self) -> None:
        self._node.ctl("eval", _CUT)

    def restart(self) -> None:
        self._node.kill()
        self._node.start()


def _again(body: bytes) -> Message:
    event = codec.decode(body)
    entry = catalogue.by_model(type(event.data))
    return Message(EVENTS, entry.routing_key, body, event.id, event.type)


def _cancel(number: int) -> Message:
    data = OrderCancelled(order_id=f"o{number}")
    event = codec.envelope(data, id=new_id(), source="/bench", subject=data.order_id)
    return Message(ORDERS, "order.cancelled.v1", codec.encode(event), event.id, event.type)


def test_rebuilt_in_the_middle_of_300_orders_under_chaos_it_equals_the_three_stores(
    tmp_path: Path, breakable_node: Node
) -> None:
    chance = random.Random(5)
    chaos = Chaos(breakable_node, chance)
    stores = {name: f"sqlite:///{tmp_path}/{name}.db" for name in SERVICES}
    environment = {**stages.environment(breakable_node.amqp_url, stores, {}), **OFTEN}
    rebuild: subprocess.Popen[bytes] | None = None
    with working(tmp_path, environment, [(name, 0) for name in SERVICES]) as crew:
        until(lambda: _has_begun(stores["api"]), 120)
        for first in range(0, COUNT, AT_A_TIME):
            orders = [stages.order(f"{number}") for number in range(first, first + AT_A_TIME)]
            chaos.publish([*orders, *chance.sample(orders, 5), _cancel(first), _cancel(first + 1)])
            chaos.repeat()
            crew.kill((chance.choice(SERVICES), 0))
            if first == COUNT // 4 - COUNT // 4 % AT_A_TIME:
                chaos.restart()
            elif first == COUNT // 2:
                before = _lines(stores["api"])
                command = [sys.executable, "-m", "sitecrew", "api", "rebuild", "--json"]
                rebuild = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            elif first % 100 == 0:
                chaos.cut()
            sleep(chance.uniform(0, 0.5))
        assert rebuild is not None
        assert rebuild.wait(120) == 0
        opened = {name: Store(url) for name, url in stores.items()}
        *services, api = opened.values()

        def is_over() -> bool:
            rows = rows_in(*services)
            states = Counter(str(row["state"]) for row in rows.values())
            done = states["sent"] == states["installed"] and states["installed"] + states["cancelled"] >= COUNT
            return done and not chaos.broker.depth(API_EVENTS) and seen_in(api) == rows

        until(is_over, 120)
        assert len([name for name in seen_in(api) if " " not in name]) == COUNT
    assert before <= _lines(stores["api"]), "the activity log is kept"
    for store in opened.values():
        store.close()
    chaos.broker.close()


def _has_begun(url: str) -> bool:
    try:
        _lines(url)
    except StoreUnreachable:
        return False
    return True


def _lines(url: str) -> set[str]:
    store = Store(url)
    with store.reading() as connection:
        lines = set(connection.scalars(select(activity.c.key)))
    store.close()
    return lines
