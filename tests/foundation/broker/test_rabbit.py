"""What RabbitMQ, the network and other people do to us, done to a node of our own. Nothing is lost."""

import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pika
import pytest

from foundation.broker import Broker, Confirmation, Delivery, Message, Publisher, codec
from foundation.broker.delay import DELIVER, Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.rabbit.browsing import reserve
from foundation.broker.sender import Sender
from foundation.broker.topology import EVENTS, ORDERS, PARKING, Queue, Topology
from foundation.config import queues as table
from foundation.config.queues import API_EVENTS, DELIVERY_LIMIT, INSTALLER_DUE, INTAKE_ORDERS
from foundation.errors import BrokerUnreachable, ConfigurationError, Refused
from foundation.handling import parking
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database
from foundation.store import Store
from schemas.values import Cause, CauseKind
from tests.support.brokers import BOOT, Brokers, Node, add_vhosts, eventually, gather, until
from tests.support.house import Clock
from tests.support.rows import no_rows

pytestmark = pytest.mark.timeout(420)

TOPOLOGY = table.sitecrew(Ladder(unit_ms=50, levels=3))
SECONDS = 60.0
"""How long to wait for what must come back."""


@pytest.fixture(scope="module")
def vhosts(breakable_node: Node) -> Iterator[str]:
    """The contract's tests have theirs on the shared node; ours are on the one that is ours to break."""
    return iter(add_vhosts(breakable_node, [f"chaos-{number}" for number in range(40)]))


@pytest.fixture
def broker(brokers: Brokers) -> RabbitBroker:
    broker = brokers.broker(TOPOLOGY)
    broker.declare()
    return broker


def order(number: int) -> Message:
    return Message(ORDERS, "order.placed.v1", b"order", message_id=f"m{number}")


def names(count: int, start: int = 0) -> set[str]:
    return {f"m{number}" for number in range(start, start + count)}


def confirm(publisher: Publisher, messages: Sequence[Message]) -> None:
    """Publish as a relay does: what the broker refuses (it has just started) is tried again."""
    kept = list(messages)

    def is_confirmed() -> bool:
        outcomes = publisher.publish(kept, BOOT)
        assert Confirmation.UNKNOWN not in outcomes
        kept[:] = [
            message for message, outcome in zip(kept, outcomes, strict=True) if outcome != Confirmation.CONFIRMED
        ]
        return not kept

    until(is_confirmed, BOOT + SECONDS)


def consume_until(broker: Broker, wanted: set[str]) -> None:
    """Take and settle on a new consumer until everything wanted has come, however often."""
    consumer, missing = broker.consumer(INTAKE_ORDERS, 500), set(wanted)

    def come() -> bool:
        taken = consumer.take(500, 1)
        missing.difference_update(delivery.message_id for delivery in taken)
        consumer.settle(taken)
        return not missing

    until(come, SECONDS)


def url_of(broker: RabbitBroker) -> str:
    node = broker._nodes[0]
    return f"amqp://{node.credentials.username}:{node.credentials.password}@{node.host}:{node.port}/{node.virtual_host}"


def cut_connections(broker: RabbitBroker, node: Node) -> None:
    """Close what connections there are, as soon as there is one."""

    def closed() -> int:
        said = node.ctl("close_all_connections", "-p", broker._nodes[0].virtual_host, "chaos")
        return int(re.findall(r"^Closed (\d+) connections$", said, re.MULTILINE)[0])

    until(lambda: closed() > 0, SECONDS)


# The connection


def test_connections_closed_in_the_middle_of_publishing_lose_nothing(
    broker: RabbitBroker, breakable_node: Node
) -> None:
    publisher, stop = broker.publisher(), threading.Event()

    def publish() -> list[Confirmation]:
        outcomes: list[Confirmation] = []
        while not stop.is_set():
            outcomes += publisher.publish([order(len(outcomes) + number) for number in range(2000)], SECONDS)
        return outcomes

    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        try:
            until(lambda: bool(broker.depth(INTAKE_ORDERS)), SECONDS)
            for _ in range(2):
                cut_connections(broker, breakable_node)
        finally:
            stop.set()
        outcomes = publishing.result(SECONDS)
    assert set(outcomes) == {Confirmation.CONFIRMED}
    consume_until(broker, names(len(outcomes)))


def test_a_settlement_on_a_dead_channel_is_dropped_and_the_message_comes_again(
    broker: RabbitBroker, breakable_node: Node
) -> None:
    broker.publisher().publish([order(number) for number in range(3)], SECONDS)
    consumer = broker.consumer(INTAKE_ORDERS, 3)
    former = gather(consumer, 3, SECONDS)
    cut_connections(broker, breakable_node)
    consumer.settle(former[:1])
    again: list[Delivery] = []
    for _ in range(3):  # one at a time: what comes back may be what ended its worker
        again += gather(consumer, 1, SECONDS)
        consumer.settle(former)
        consumer.settle(again[-1:])
    assert sorted((d.message_id, d.redeliveries) for d in again) == [("m0", 1), ("m1", 1), ("m2", 1)]
    assert {d.epoch for d in again}.isdisjoint({d.epoch for d in former})
    consumer.close()
    assert broker.depth(INTAKE_ORDERS) == 0


def test_an_old_settlement_settles_nothing_that_was_delivered_since(broker: RabbitBroker, breakable_node: Node) -> None:
    """Each channel numbers its deliveries from 1, so an old number is also that of a later delivery."""
    broker.publisher().publish([order(1)], SECONDS)
    consumer = broker.consumer(INTAKE_ORDERS, 3)
    former = gather(consumer, 1, SECONDS)
    cut_connections(broker, breakable_node)
    assert [later.tag for later in gather(consumer, 1, SECONDS)] == [former[0].tag]
    consumer.settle(former)
    consumer.close()
    until(lambda: broker.depth(INTAKE_ORDERS) == 1, SECONDS)


def test_who_alone_is_active_is_handed_its_whole_prefetch_and_its_successor_too(brokers: Brokers) -> None:
    broker = brokers.broker(table.with_api(Ladder(unit_ms=50, levels=3)))
    broker.declare()
    consumers = [broker.consumer(API_EVENTS, 20), broker.consumer(API_EVENTS, 20)]
    confirm(broker.publisher(), [order(number) for number in range(100)])
    for _ in range(2):
        in_hand: list[list[Delivery]] = [[] for _ in consumers]

        def is_full(in_hand: list[list[Delivery]] = in_hand) -> bool:
            for consumer, taken in zip(consumers, in_hand, strict=True):
                came = consumer.take(100, 0.1)
                consumer.settle([] if taken else came[:1])  # each begins with one
                taken.extend(came)
            return any(len(taken) > 20 for taken in in_hand)

        until(is_full, SECONDS)
        consumers.pop(0 if len(in_hand[0]) > 20 else 1).close()


def test_a_connection_whose_thread_fails_is_closed_and_replaced(broker: RabbitBroker) -> None:
    consumer = broker.consumer(INTAKE_ORDERS, 3)
    broker.publisher().publish([order(1)], SECONDS)
    gather(consumer, 1, SECONDS)
    link = next(link for link in broker.links if link.name == INTAKE_ORDERS)
    failed = link._connection

    def fail() -> None:
        raise RuntimeError("on purpose")

    link.call(fail)
    assert [delivery.redeliveries for delivery in gather(consumer, 1, SECONDS)] == [1]
    assert failed is not None
    assert failed.is_closed


def test_a_request_that_cannot_hang_up_leaves_no_connection(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = broker._connected()
    monkeypatch.setattr(broker, "_connected", lambda: connection)
    monkeypatch.setattr(connection, "close", lambda: 1 / 0)
    assert broker.depth(INTAKE_ORDERS) == 0
    assert connection.is_closed


def test_a_watcher_goes_on_watching_after_its_connection_was_closed(broker: RabbitBroker, breakable_node: Node) -> None:
    watcher, publisher = broker.watch(EVENTS, "weather.#"), broker.publisher()
    cut_connections(broker, breakable_node)
    rain = Message(EVENTS, "weather.changed.v1", b"rain")
    until(lambda: publisher.publish([rain]) == [Confirmation.CONFIRMED], SECONDS)
    assert gather(watcher, 1, SECONDS)[0].body == b"rain"
    assert broker.reconnections >= 1, "who watches is to know that something may have passed by"


def test_who_finds_somebody_else_looking_into_a_queue_waits_and_then_says_so(broker: RabbitBroker) -> None:
    parameters = pika.URLParameters(url_of(broker))
    with closing(pika.BlockingConnection(parameters)) as one, closing(pika.BlockingConnection(parameters)) as other:
        reserve(one, PARKING, patience=0)
        with pytest.raises(Refused, match="somebody else has been reading parking for 0 s; try again later"):
            reserve(other, PARKING, patience=0)
    assert broker.browse(PARKING, 10) == []


def test_the_first_address_may_be_dead(broker: RabbitBroker) -> None:
    both = RabbitBroker(["amqp://guest:guest@127.0.0.1:1/", url_of(broker)], TOPOLOGY)
    try:
        for _ in range(5):  # they are tried in any order
            both.declare()
            assert both.publisher().publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
        assert len(gather(both.consumer(INTAKE_ORDERS, 10), 5, SECONDS)) == 5
    finally:
        both.close()


# What others do to the topology


def test_a_queue_deleted_under_its_consumer_comes_back_and_is_consumed(broker: RabbitBroker) -> None:
    consumer, publisher = broker.consumer(INTAKE_ORDERS, 10), broker.publisher()
    publisher.publish([order(1)], SECONDS)
    consumer.settle(gather(consumer, 1, SECONDS))
    with broker._channel() as channel:
        channel.queue_delete(INTAKE_ORDERS)
    until(lambda: publisher.publish([order(2)]) == [Confirmation.CONFIRMED], SECONDS)
    (delivery,) = gather(consumer, 1, SECONDS)
    assert (delivery.message_id, delivery.redeliveries) == ("m2", 0)


def test_what_is_parked_waits_for_its_deleted_queue_to_come_back(broker: RabbitBroker, tmp_path: Path) -> None:
    store, clock = Store(f"sqlite:///{tmp_path / 'store.db'}"), Clock()
    store.migrate([])
    relay = Relay(store, broker.publisher(), TOPOLOGY, clock.now, declare=broker.declare)
    with broker._channel() as channel:
        channel.queue_delete(PARKING)
    delivery = Delivery(INTAKE_ORDERS, b"no order", "", "m1", "", {}, redeliveries=0, tag=1, epoch=1)
    cause = Cause(code="not_json", kind=CauseKind.PERMANENT, detail="is not JSON", remedy="send JSON")
    with Database(store, "test", clock.now, relay.hand_over, no_rows).begin() as uow:
        uow.park(delivery, cause)
    relay.run_once(timeout=0)
    assert broker.depth(PARKING) == 0, "it is there again, for the next try"
    clock.moment += timedelta(seconds=11)
    assert relay.sweep() == 1
    eventually(lambda: broker.depth(PARKING), 1, SECONDS)
    store.close()


def test_an_exchange_deleted_under_a_publisher_comes_back_with_its_bindings(broker: RabbitBroker) -> None:
    publisher = broker.publisher()
    assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
    with broker._channel() as channel:
        channel.exchange_delete(ORDERS)
    assert publisher.publish([order(2), order(3)], SECONDS) == [Confirmation.CONFIRMED] * 2
    consume_until(broker, names(3, start=1))


def test_a_wiped_broker_is_furnished_again(broker: RabbitBroker, breakable_node: Node) -> None:
    publisher, consumer = broker.publisher(), broker.consumer(INTAKE_ORDERS, 10)
    assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
    consumer.settle(gather(consumer, 1, SECONDS))
    vhost = broker._nodes[0].virtual_host
    breakable_node.ctl("delete_vhost", vhost)
    add_vhosts(breakable_node, [vhost])
    assert publisher.publish([order(2)], SECONDS) == [Confirmation.CONFIRMED]
    assert gather(consumer, 1, SECONDS)[0].message_id == "m2"


def changed(queue: str, **arguments: str | int) -> Topology:
    """The topology with other arguments for one queue."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    queues = [Queue(q.name, {**q.arguments, **named}) if q.name == queue else q for q in TOPOLOGY.queues]
    return replace(TOPOLOGY, queues=tuple(queues))


def test_a_queue_that_differs_is_named(broker: RabbitBroker) -> None:
    other = RabbitBroker([url_of(broker)], changed("delay.1", x_message_ttl=77))
    with pytest.raises(ConfigurationError, match=r"x-message-ttl.*'delay\.1'.*sitecrew topology check"):
        other.declare()
    (difference,) = other.differences()
    assert difference.startswith("queue delay.1 differs: ")
    assert "x-message-ttl" in difference
    assert broker.differences() == []


def test_an_exchange_that_differs_is_named(broker: RabbitBroker) -> None:
    exchanges = [replace(e, kind="direct") if e.name == EVENTS else e for e in TOPOLOGY.exchanges]
    other = RabbitBroker([url_of(broker)], replace(TOPOLOGY, exchanges=tuple(exchanges)))
    with pytest.raises(ConfigurationError, match="'events'"):
        other.declare()
    (difference,) = other.differences()
    assert difference.startswith("exchange events differs: ")


def test_a_full_queue_refuses_and_takes_again_when_it_has_room(brokers: Brokers) -> None:
    broker = brokers.broker(changed(INTAKE_ORDERS, x_max_length=5))
    broker.declare()
    publisher = broker.publisher()
    outcomes = [publisher.publish([order(number)], SECONDS)[0] for number in range(30)]
    assert set(outcomes) == {Confirmation.CONFIRMED, Confirmation.REFUSED}
    eventually(lambda: broker.depth(INTAKE_ORDERS), outcomes.count(Confirmation.CONFIRMED), SECONDS)
    consumer = broker.consumer(INTAKE_ORDERS, 30)
    consumer.settle(gather(consumer, outcomes.count(Confirmation.CONFIRMED), SECONDS))
    until(lambda: publisher.publish([order(31)]) == [Confirmation.CONFIRMED], SECONDS)


# What others send


def test_names_that_are_not_utf_8_can_be_read_and_sent_on(broker: RabbitBroker) -> None:
    broker.publisher().publish([Message("", INSTALLER_DUE, b"{}", message_id="x", headers={"x": 1})], SECONDS)
    rubbish: Any = bytes(range(128, 256)) + b"x" * 100
    with broker._channel() as channel:
        _, properties, body = channel.basic_get(INSTALLER_DUE, auto_ack=True)
        properties.message_id = properties.type = properties.content_type = rubbish
        properties.headers = {rubbish: 1, "value": rubbish}
        channel.basic_publish("", INSTALLER_DUE, body, properties)
    (delivery,) = gather(broker.consumer(INSTALLER_DUE, 1), 1, SECONDS)
    assert delivery.message_id == delivery.type == delivery.content_type == "?" * 128 + "x" * 100
    with pytest.raises(codec.Malformed):
        codec.decode(delivery.body, delivery.content_type, delivery.headers)
    onward = Message("", INSTALLER_DUE, delivery.body, message_id=delivery.message_id, type=delivery.type)
    assert broker.publisher().publish([onward], SECONDS) == [Confirmation.CONFIRMED]


def test_a_broker_that_knows_us_by_another_name_costs_a_channel_and_no_message(broker: RabbitBroker) -> None:
    """Its users may come from a token or a certificate: then the name in our URL says nothing."""
    for node in broker._nodes:
        node.credentials = ByToken(node.credentials)
    confirm(broker.publisher(), [order(number) for number in range(50)])
    arrived = gather(broker.consumer(INTAKE_ORDERS, 100), 50, SECONDS)
    assert {delivery.message_id for delivery in arrived} == names(50)
    assert {delivery.user_id for delivery in arrived} == {""}


class ByToken(pika.PlainCredentials):  # type: ignore[misc]  # pika is untyped
    def __init__(self, known: Any) -> None:
        super().__init__("somebody", known.password)
        self._known = known

    def response_for(self, start: Any) -> Any:
        return self._known.response_for(start)


# The node


def test_a_memory_alarm_stops_publishers_and_nobody_else(broker: RabbitBroker, breakable_node: Node) -> None:
    publisher, consumer = broker.publisher(), broker.consumer(INTAKE_ORDERS, 10)
    assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
    try:
        breakable_node.ctl("set_vm_memory_high_watermark", "0.00001")
        assert publisher.publish([order(2)], timeout=1) == [Confirmation.UNKNOWN]
        consumer.settle(gather(consumer, 1, SECONDS))
        assert broker.depth(INTAKE_ORDERS) == 0
        broker.consumer(INSTALLER_DUE, 1).close()
    finally:
        breakable_node.ctl("set_vm_memory_high_watermark", "0.4")
    assert publisher.publish([order(3)], SECONDS) == [Confirmation.CONFIRMED]
    until(lambda: any(d.message_id == "m3" for d in consumer.take(10, 1)), SECONDS)


def test_a_killed_node_loses_nothing_and_publisher_and_consumer_go_on(
    broker: RabbitBroker, breakable_node: Node
) -> None:
    publisher, consumer = broker.publisher(), broker.consumer(INTAKE_ORDERS, 200)
    outcomes = publisher.publish([order(number) for number in range(5000)], SECONDS)
    assert outcomes == [Confirmation.CONFIRMED] * 5000
    gather(consumer, 100, SECONDS)
    with ThreadPoolExecutor(1) as pool:
        breakable_node.kill()
        meanwhile = pool.submit(confirm, publisher, [order(number) for number in range(5000, 5100)])
        breakable_node.start()
        meanwhile.result(BOOT + 2 * SECONDS)
    missing = names(5100)

    def have_come() -> bool:
        taken = consumer.take(500, 1)
        missing.difference_update(delivery.message_id for delivery in taken)
        consumer.settle(taken)
        return not (missing or taken)  # what was in flight may come twice

    until(have_come, SECONDS)
    consumer.close()
    eventually(lambda: broker.depth(INTAKE_ORDERS), 0, SECONDS)


def test_who_starts_before_the_broker_waits_for_it(broker: RabbitBroker, breakable_node: Node) -> None:
    url = url_of(broker)
    broker.close()
    breakable_node.stop()
    early = RabbitBroker([url], TOPOLOGY)
    try:
        with pytest.raises(BrokerUnreachable, match="refused"):
            early.declare()
        with ThreadPoolExecutor(1) as pool:
            consumer = early.consumer(INTAKE_ORDERS, 10)
            publishing = pool.submit(confirm, early.publisher(), [order(1)])
            breakable_node.start()
            publishing.result(BOOT + 2 * SECONDS)
        assert gather(consumer, 1, SECONDS)[0].message_id == "m1"
    finally:
        early.close()


# Addresses


@pytest.mark.parametrize("wrong", ["password", "user", "vhost"])
def test_a_refusal_names_the_place_and_what_to_check_and_never_the_password(broker: RabbitBroker, wrong: str) -> None:
    node = broker._nodes[0]
    user = "nobody" if wrong == "user" else node.credentials.username
    password = "hunter2" if wrong == "password" else node.credentials.password
    vhost = "no-such-vhost" if wrong == "vhost" else "%2F"
    refused = RabbitBroker([f"amqp://{user}:{password}@{node.host}:{node.port}/{vhost}"], TOPOLOGY)
    for ask in (refused.declare, refused.differences, lambda: refused.depth(INTAKE_ORDERS)):
        with pytest.raises(BrokerUnreachable) as caught:
            ask()
        assert str(caught.value) == (
            f"cannot use RabbitMQ at {node.host}:{node.port}: it refused the user {user}, the password or the "
            "virtual host. Check amqp_url (SITECREW_AMQP_URL)"
        )
        assert password not in repr(caught.value).replace(f"the user {user}", ""), "a user may be called like it"


def test_a_broker_that_is_not_there_is_named_with_the_reason() -> None:
    absent = RabbitBroker(["amqp://ann:hunter2@127.0.0.1:1/", "amqp://ann:hunter2@127.0.0.1:2/"], TOPOLOGY)
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1, 127\.0\.0\.1:2: .*refused") as caught:
        absent.declare()
    assert "hunter2" not in str(caught.value)
    publisher = absent.publisher()
    assert publisher.publish([order(1)], timeout=0.2) == [Confirmation.UNKNOWN]
    absent.close()


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost/", "amqp://user:hunter2@host:port/"])
def test_what_is_no_address_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"amqp_url is (not a valid AMQP URL|empty)") as caught:
        RabbitBroker([url], TOPOLOGY)
    assert "hunter2" not in str(caught.value)


# What a producer makes up


def test_a_made_up_death_does_not_make_a_producer_somebody_else(broker: RabbitBroker) -> None:
    """Before 4.0 the broker counts it up, and keeps the exchange that it names."""
    made_up = {"sitecrew-exchange": "commands", "sitecrew-user-id": "root"}
    deaths = [{"queue": INTAKE_ORDERS, "reason": "delivery_limit", "exchange": DELIVER, "count": 1}]
    with pika.BlockingConnection(pika.URLParameters(url_of(broker))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id="m1", headers={**made_up, "x-death": deaths})
        channel.basic_publish("orders", "order.cancelled.v1", b"{}", properties)
    for _ in range(DELIVERY_LIMIT + 1):
        consumer = broker.consumer(INTAKE_ORDERS, 1)
        gather(consumer, 1, SECONDS)
        consumer.close()
    eventually(lambda: broker.depth(PARKING), 1, SECONDS)
    (parked,) = [parking.read(delivery, broker.user) for delivery in broker.browse(PARKING, 10)]
    assert (parked.code, parked.came_from, parked.sender) == ("delivery_limit", INTAKE_ORDERS, Sender("orders"))
