"""A node that is cut off from the others: it keeps its clients and answers heartbeats, and nothing passes its queues.

Here a proxy in front of a real node keeps back what comes from the queues. `tests/system/test_cluster.py` is of a real
cluster.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from struct import Struct
from typing import Any, cast

import pika
import pytest
from pika import spec
from pika.frame import Method as Frame
from structlog.testing import capture_logs
from structlog.typing import EventDict

from foundation.broker import Confirmation, Message
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker, link, probe
from foundation.broker.topology import ORDERS, PROBE
from foundation.config.queues import INTAKE_ORDERS, sitecrew
from sitecrew.stack.ports import free_port
from tests.chaos.proxy import Address, Network, Proxy
from tests.support.brokers import Brokers, gather, until

pytestmark = pytest.mark.timeout(240)

SECONDS = 60.0
TIMEOUT = 0.3
_FRAME = Struct(">BHL")
_METHOD, _BASIC, _GET_EMPTY = 1, b"\x00\x3c", b"\x00\x3c\x00\x48"


class NodeAddress(Proxy):
    """An address of a node, which can be cut off from the cluster."""

    def __init__(self, network: Network, port: int, there: Address) -> None:
        super().__init__(network, ("127.0.0.1", port), there)
        self.port = port
        self.is_cut_off = False
        self.says_so = False
        """Whether it then closes whoever asks, as RabbitMQ 4.3 does after some seconds."""

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        answers, onward = await super()._connect()
        return cast("asyncio.StreamReader", _Answers(answers, self)), onward


class _Answers:
    """What the node sends: nothing of its queues (AMQP's class `basic`, and messages) while it is cut off."""

    def __init__(self, answers: asyncio.StreamReader, node: NodeAddress) -> None:
        self._answers, self._node = answers, node

    async def read(self, _size: int) -> bytes:
        while True:
            try:
                head = await self._answers.readexactly(_FRAME.size)
                kind, channel, size = _FRAME.unpack(head)
                rest = await self._answers.readexactly(size + 1)
            except asyncio.IncompleteReadError:
                return b""
            if self._node.is_cut_off and self._node.says_so and rest.startswith(_GET_EMPTY):
                return bytes(Frame(0, spec.Connection.Close(541, "INTERNAL_ERROR", 60, 70)).marshal())
            of_queues = channel > 0 and (kind != _METHOD or rest.startswith(_BASIC))
            if not (of_queues and self._node.is_cut_off):
                return head + rest


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_EVERY", 0.1)
    monkeypatch.setattr(probe, "_FIRST", 0.1)


@pytest.fixture
def url(brokers: Brokers) -> str:
    url = brokers.url()
    brokers.broker(sitecrew(Ladder()), url).declare()
    return url


@contextmanager
def nodes(url: str, number: int) -> Iterator[tuple[list[NodeAddress], RabbitBroker]]:
    """So many addresses of one node, and a broker at them."""
    at = pika.URLParameters(url)
    with Network() as network:
        made = [network.open(NodeAddress(network, free_port(), (at.host, at.port))) for _ in range(number)]
        urls = [url.replace(f"{at.host}:{at.port}", f"127.0.0.1:{node.port}") for node in made]
        with closing(RabbitBroker(urls, sitecrew(Ladder()), "tests", probe_timeout=TIMEOUT)) as broker:
            yield made, broker


def order(number: int) -> Message:
    return Message(ORDERS, "order.placed.v1", b"order", message_id=f"m{number}")


def failures(lines: list[EventDict]) -> list[int]:
    return [line["number"] for line in lines if line["event"] == "broker.cut_off"]


@pytest.mark.parametrize("says_so", [False, True])
def test_who_is_at_a_node_that_is_cut_off_goes_on_at_another(url: str, *, says_so: bool) -> None:
    with nodes(url, 2) as (both, broker):
        both[0].says_so = both[1].says_so = says_so
        publisher, consumer = broker.publisher(), broker.consumer(INTAKE_ORDERS, 1)
        assert publisher.publish([order(0)], SECONDS) == [Confirmation.CONFIRMED]
        consumer.settle(gather(consumer, 1, SECONDS))
        for number, node in enumerate(both, 1):  # after the first, both are at the second
            node.is_cut_off = True
            assert publisher.publish([order(number)], SECONDS) == [Confirmation.CONFIRMED]
            came: list[str] = []
            while f"m{number}" not in came:
                taken = gather(consumer, 1, SECONDS)
                consumer.settle(taken)
                came += [delivery.message_id for delivery in taken]
            node.is_cut_off = False
        until(lambda: broker.cut_off() == [], SECONDS)


def test_who_only_waits_for_messages_leaves_too(url: str) -> None:
    with nodes(url, 2) as (both, broker):
        both[0].refuse(refuses=True)
        consumer = broker.consumer(INTAKE_ORDERS, 1)
        with closing(RabbitBroker([url], sitecrew(Ladder()))) as elsewhere:
            publisher = elsewhere.publisher()
            publisher.publish([order(1)], SECONDS)
            consumer.settle(gather(consumer, 1, SECONDS))
            both[0].refuse(refuses=False)
            both[1].is_cut_off = True
            publisher.publish([order(2)], SECONDS)
            until(lambda: any(delivery.message_id == "m2" for delivery in consumer.take(1, 1)), SECONDS)


def test_where_no_node_answers_going_round_becomes_slower(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def noted(*given: Any) -> float:
        pauses.append(probe.pause(*given))
        return pauses[-1]

    monkeypatch.setattr(link, "pause", noted)
    with nodes(url, 2) as (both, broker):
        both[0].is_cut_off = both[1].is_cut_off = True
        publisher = broker.publisher()
        until(lambda: len(pauses) >= 5, SECONDS)
        assert pauses[:5] == [0.1, 0.1, TIMEOUT, 2 * TIMEOUT, 4 * TIMEOUT]
        both[0].is_cut_off = both[1].is_cut_off = False
        assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]


def test_the_only_node_is_not_left_but_named(url: str) -> None:
    with nodes(url, 1) as ([node], broker), capture_logs() as lines:
        publisher = broker.publisher()
        assert publisher.publish([order(0)], SECONDS) == [Confirmation.CONFIRMED]
        node.hold()
        until(lambda: broker.cut_off() == ["publisher"], SECONDS)
        assert broker.disconnected() == []
        node.release()
        assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
        until(lambda: broker.cut_off() == [], SECONDS)
        assert broker.reconnections == 0
        assert failures(lines)[0] == 1


def test_where_there_is_nothing_to_ask_all_else_goes_on(url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    connection.channel().queue_delete(PROBE)
    connection.close()
    with nodes(url, 2) as (_, broker), capture_logs() as lines:
        publisher = broker.publisher()
        until(lambda: "broker.not_probed" in [line["event"] for line in lines], SECONDS)
        assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
        assert (broker.reconnections, broker.cut_off()) == (0, [])
