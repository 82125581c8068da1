"""What every broker does, in memory as in RabbitMQ."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from foundation.broker import Broker, Confirmation, Consumer, Delivery, Message
from foundation.broker.delay import DELIVER, Ladder, destination, is_detour
from foundation.broker.limits import MAX_BYTES
from foundation.broker.topology import DEAD_LETTERS, EVENTS, ORDERS, PARKING, UNROUTED, Topology
from foundation.broker.turns import Turns
from foundation.config import queues as table
from foundation.config.queues import (
    INSTALLER_DUE,
    INSTALLER_DUE_HIGH,
    INSTALLER_DUE_LOW,
    INTAKE_INSTALLS,
    INTAKE_ORDERS,
)
from foundation.errors import ConfigurationError
from foundation.testing.memory import MemoryBroker
from tests.support.brokers import Brokers, Clock, eventually, gather, until

UNIT = timedelta(milliseconds=50)
TOPOLOGY = table.sitecrew(Ladder(unit_ms=50, levels=4))
SECONDS = 60.0
"""How long to wait for what must come."""


@dataclass(frozen=True)
class Ground:
    """A broker with nothing in it, and what time is to it."""

    broker: Broker
    ladder: Ladder
    now: Callable[[], datetime]
    let_pass: Callable[[timedelta], None]
    """Turn a virtual clock; a real one turns by itself."""
    user: str
    """As whom we publish."""


def in_memory(topology: Topology) -> Ground:
    clock = Clock()
    broker = MemoryBroker(topology, clock)

    def let_pass(time: timedelta) -> None:
        clock.advance(time)
        broker.expire()

    return Ground(broker, topology.ladder, clock, let_pass, "guest")


def on_rabbitmq(brokers: Brokers, topology: Topology) -> Ground:
    url = brokers.url()
    user = url.partition("//")[2].partition(":")[0]
    return Ground(brokers.broker(topology, url), topology.ladder, lambda: datetime.now(UTC), lambda _: None, user)


@pytest.fixture(params=["memory", "rabbitmq"])
def open_ground(request: pytest.FixtureRequest) -> Iterator[Callable[[Topology], Ground]]:
    opened: list[Ground] = []
    brokers = request.getfixturevalue("brokers") if request.param == "rabbitmq" else None

    def open_ground(topology: Topology) -> Ground:
        opened.append(on_rabbitmq(brokers, topology) if brokers else in_memory(topology))
        return opened[-1]

    yield open_ground
    for ground in opened:
        ground.broker.close()


@pytest.fixture
def ground(open_ground: Callable[[Topology], Ground]) -> Ground:
    ground = open_ground(TOPOLOGY)
    ground.broker.declare()
    return ground


@pytest.fixture
def broker(ground: Ground) -> Broker:
    return ground.broker


def order(number: int, **changes: object) -> Message:
    message = Message(ORDERS, "order.placed.v1", b"order %d" % number, message_id=f"m{number}")
    return message._replace(**changes)  # type: ignore[arg-type]


def delayed(ground: Ground, units: float, queue: str, name: str) -> Message:
    now = ground.now()
    exchange, key = ground.ladder.route(destination(queue), now + UNIT * units, now)
    return Message(exchange, key, name.encode(), message_id=name)


def send(broker: Broker, messages: Sequence[Message]) -> None:
    outcomes = broker.publisher().publish(messages, SECONDS)
    assert outcomes == [Confirmation.CONFIRMED] * len(messages)


def arrivals(ground: Ground, consumer: Consumer, count: int) -> list[tuple[datetime, Delivery]]:
    """Take and settle until so many have come, and when each did; a virtual clock turns meanwhile."""
    arrived: list[tuple[datetime, Delivery]] = []

    def come() -> bool:
        taken = consumer.take(100, 0.02)
        arrived.extend((ground.now(), delivery) for delivery in taken)
        consumer.settle(taken)
        if not taken:
            ground.let_pass(UNIT / 2)
        return len(arrived) >= count

    until(come, SECONDS)
    return arrived


def one_by_one(consumer: Consumer, count: int) -> list[Delivery]:
    """Take and settle: what was handed out before comes one at a time."""
    taken: list[Delivery] = []
    for _ in range(count):
        taken += gather(consumer, 1, SECONDS)
        consumer.settle(taken[-1:])
    return taken


# Publishing


def test_what_arrives_is_what_was_sent(broker: Broker) -> None:
    sent = Message(
        exchange=ORDERS,
        routing_key="order.placed.v1",
        body=b'{"order": "\xc3\xa9"}',
        message_id="018f-1",
        type="sitecrew.order.placed.v1",
        correlation_id="order-1",
        headers={"traceparent": "00-ab-cd-01", "größe": "ü" * 300, "negative": -1, "large": 2**40, "empty": ""},
    )
    send(broker, [sent])
    (delivery,) = gather(broker.consumer(INTAKE_ORDERS, 10), 1, SECONDS)
    assert delivery.queue == INTAKE_ORDERS
    assert (delivery.body, delivery.content_type) == (sent.body, "application/cloudevents+json")
    assert (delivery.message_id, delivery.type) == ("018f-1", "sitecrew.order.placed.v1")
    assert dict(delivery.headers) == dict(sent.headers)
    assert delivery.redeliveries == 0


def test_what_arrives_says_by_which_exchange_with_which_key_and_whose_it_is(ground: Ground) -> None:
    send(ground.broker, [order(1), delayed(ground, 1, INTAKE_ORDERS, "later")])
    first, second = (delivery for _, delivery in arrivals(ground, ground.broker.consumer(INTAKE_ORDERS, 10), 2))
    assert (first.exchange, first.routing_key, first.user_id) == (ORDERS, "order.placed.v1", ground.user)
    assert is_detour(second.exchange)
    assert (second.routing_key.endswith(destination(INTAKE_ORDERS)), second.user_id) == (True, ground.user)
    send(ground.broker, [Message("", INSTALLER_DUE, b"straight")])
    eventually(lambda: ground.broker.depth(INSTALLER_DUE), 1, SECONDS)
    (seen,) = ground.broker.browse(INSTALLER_DUE, 1)
    assert (seen.exchange, seen.routing_key, seen.user_id) == ("", INSTALLER_DUE, ground.user)


def test_nothing_to_publish_needs_no_answer(broker: Broker) -> None:
    assert broker.publisher().publish([]) == []


def test_each_outcome_stands_where_its_message_stood(broker: Broker) -> None:
    nobodys = Message(EVENTS, "weather.changed.v1", b"rain")
    outcomes = broker.publisher().publish(
        [order(1), nobodys, order(2), nobodys._replace(mandatory=False), nobodys, order(3)]
    )
    yes, nowhere = Confirmation.CONFIRMED, Confirmation.UNROUTABLE
    assert outcomes == [yes, nowhere, yes, yes, nowhere, yes]
    consumer = broker.consumer(INTAKE_ORDERS, 10)
    assert [d.message_id for d in gather(consumer, 3, SECONDS)] == ["m1", "m2", "m3"]


def test_what_the_protocol_cannot_carry_is_refused_and_costs_its_neighbours_nothing(broker: Broker) -> None:
    long = "x" * 256
    misfits = [
        order(0, routing_key=long),
        order(0, message_id="é" * 128),
        order(0, headers={long: "name"}),
        order(0, headers={"number": 2**63}),
        order(0, headers={"reason": "x" * 200_000}),
        order(0, message_id="\ud800"),
        order(0, exchange="no-such-exchange"),
    ]
    mixed = [message for misfit in misfits for message in (order(1), misfit)]
    outcomes = broker.publisher().publish([*mixed, order(2)], timeout=SECONDS)
    assert outcomes == [Confirmation.CONFIRMED, Confirmation.REFUSED] * len(misfits) + [Confirmation.CONFIRMED]
    consumer = broker.consumer(INTAKE_ORDERS, 100)
    assert [d.message_id for d in gather(consumer, len(misfits) + 1, SECONDS)] == ["m1"] * len(misfits) + ["m2"]


def test_the_nameless_exchange_leads_straight_to_a_queue(broker: Broker) -> None:
    straight = Message("", INSTALLER_DUE, b"straight")
    astray = Message("", "no-such-queue", b"astray")
    assert broker.publisher().publish([straight, astray], SECONDS) == [Confirmation.CONFIRMED, Confirmation.UNROUTABLE]
    eventually(lambda: broker.depth(INSTALLER_DUE), 1, SECONDS)


def test_an_event_reaches_each_bound_queue_once(broker: Broker) -> None:
    send(broker, [Message(EVENTS, "install.completed.v1", b"done")])
    for name in (table.INTAKE_INSTALLS, table.MAILER_INSTALLS):
        eventually(partial(broker.depth, name), 1, SECONDS)
    assert broker.depth(table.INSTALLER_STAGED) == 0
    several = broker.depths([table.MAILER_INSTALLS, "no.such", table.INSTALLER_STAGED])
    assert several == {table.MAILER_INSTALLS: 1, table.INSTALLER_STAGED: 0}


def test_five_thousand_messages_pass_through_the_window_in_order(broker: Broker) -> None:
    send(broker, [order(number) for number in range(5000)])
    consumer = broker.consumer(INTAKE_ORDERS, 500)
    arrived: list[str] = []

    def come() -> bool:
        taken = consumer.take(500, 1)
        arrived.extend(d.message_id for d in taken)
        consumer.settle(taken)
        return len(arrived) >= 5000

    until(come, SECONDS)
    assert arrived == [f"m{number}" for number in range(5000)]


def test_threads_share_a_publisher(broker: Broker) -> None:
    publisher = broker.publisher()
    batches = [[order(100 * thread + i) for i in range(100)] for thread in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda batch: publisher.publish(batch, SECONDS), batches))
    assert outcomes == [[Confirmation.CONFIRMED] * 100] * 8
    eventually(lambda: broker.depth(INTAKE_ORDERS), 800, SECONDS)


def test_a_body_of_a_megabyte_is_kept_whole(broker: Broker) -> None:
    body = bytes(range(256)) * 4096
    send(broker, [order(1, body=body)])
    (delivery,) = broker.browse(INTAKE_ORDERS, 1)
    assert delivery.body == body


def test_closing_a_publisher_ends_a_publish_that_waits(broker: Broker) -> None:
    publisher = broker.publisher()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(publisher.publish, [order(number) for number in range(3000)], SECONDS * 10)
        publisher.close()
        outcomes = waiting.result(SECONDS)
    assert len(outcomes) == 3000
    assert set(outcomes) <= {Confirmation.CONFIRMED, Confirmation.UNKNOWN}


def test_a_closed_publisher_says_that_it_does_not_know(broker: Broker) -> None:
    publisher = broker.publisher()
    publisher.close()
    assert publisher.publish([order(1)], timeout=0.1) == [Confirmation.UNKNOWN]


# Consuming


def test_a_queue_knows_how_many_consume_it(broker: Broker) -> None:
    assert broker.consumers(INTAKE_ORDERS) == 0
    consumers = [broker.consumer(INTAKE_ORDERS, 3) for _ in range(2)]
    eventually(lambda: broker.consumers(INTAKE_ORDERS), 2, SECONDS)
    for consumer in consumers:
        consumer.close()
    eventually(lambda: broker.consumers(INTAKE_ORDERS), 0, SECONDS)


def test_no_more_than_the_prefetch_is_handed_out(broker: Broker) -> None:
    send(broker, [order(number) for number in range(10)])
    consumer = broker.consumer(INTAKE_ORDERS, 3)
    held = gather(consumer, 3, SECONDS)
    assert consumer.take(10, 0.2) == []
    eventually(lambda: broker.depth(INTAKE_ORDERS), 7, SECONDS)
    consumer.settle(held[1:2])
    assert [d.message_id for d in gather(consumer, 1, SECONDS)] == ["m3"]


def test_a_consumer_may_be_allowed_more_than_its_prefetch_for_a_while(broker: Broker) -> None:
    consumer = broker.consumer(INTAKE_ORDERS, 2)
    consumer.allow(6)
    send(broker, [order(number) for number in range(20)])
    held = gather(consumer, 6, SECONDS)
    assert consumer.take(10, 0.2) == []
    eventually(lambda: broker.depth(INTAKE_ORDERS), 14, SECONDS)
    consumer.allow(1)
    consumer.settle(held)
    assert len(gather(consumer, 2, SECONDS)) == 2, "as many as it began with"
    assert consumer.take(10, 0.2) == []
    eventually(lambda: broker.depth(INTAKE_ORDERS), 12, SECONDS)
    consumer.allow(5)
    assert len(gather(consumer, 3, SECONDS)) == 3


def test_a_consumer_of_one_may_be_allowed_more(broker: Broker) -> None:
    consumer = broker.consumer(INTAKE_ORDERS, 1)
    send(broker, [order(number) for number in range(9)])
    gather(consumer, 1, SECONDS)
    consumer.allow(4)
    gather(consumer, 3, SECONDS)
    eventually(lambda: broker.depth(INTAKE_ORDERS), 5, SECONDS)


def test_of_several_queues_the_more_urgent_come_first_and_each_has_its_prefetch(broker: Broker) -> None:
    turns = Turns(INSTALLER_DUE, more=(INSTALLER_DUE_HIGH,), less=(INSTALLER_DUE_LOW,))
    urgent, usual, low = turns.queues
    send(
        broker,
        [Message("delay.deliver", destination(queue), b"x", f"{queue}{n}") for queue in turns.queues for n in range(9)],
    )
    consumer = broker.consumer(turns, 3)
    for queue in turns.queues:
        eventually(partial(broker.depth, queue), 6, SECONDS)
    held = gather(consumer, 9, SECONDS)
    assert [d.queue for d in held[:5]] == [urgent, urgent, urgent, usual, low]
    assert [d.message_id for d in held if d.queue == low] == [f"{low}{n}" for n in range(3)]
    consumer.settle([held[0], held[-1]])
    consumer.reject([held[1]])
    assert sorted(d.queue for d in gather(consumer, 3, SECONDS)) == sorted((urgent, urgent, low))
    consumer.close()
    for queue, left in ((urgent, 7), (usual, 9), (low, 8)):
        eventually(partial(broker.depth, queue), left, SECONDS)


def test_a_consumer_that_has_ceased_gives_what_it_has_and_nothing_more(broker: Broker) -> None:
    send(broker, [order(number) for number in range(5)])
    consumer = broker.consumer(INTAKE_ORDERS, 2)
    eventually(lambda: broker.depth(INTAKE_ORDERS), 3, SECONDS)
    consumer.cease()
    held = gather(consumer, 2, SECONDS)
    consumer.settle(held)
    assert consumer.take(10, 0.2) == []
    consumer.close()
    again = gather(broker.consumer(INTAKE_ORDERS, 10), 3, SECONDS)
    assert [(d.message_id, d.redeliveries) for d in again] == [(f"m{number}", 0) for number in (2, 3, 4)]


def test_take_gives_at_most_what_was_asked_for(broker: Broker) -> None:
    send(broker, [order(number) for number in range(5)])
    consumer = broker.consumer(INTAKE_ORDERS, 10)
    eventually(lambda: broker.depth(INTAKE_ORDERS), 0, SECONDS)
    sizes = [len(gather(consumer, 2, SECONDS)), len(gather(consumer, 2, SECONDS)), len(gather(consumer, 1, SECONDS))]
    assert sizes == [2, 2, 1]
    assert consumer.take(1, 0) == []


def test_two_consumers_share_a_queue_and_nothing_comes_twice(broker: Broker) -> None:
    consumers = [broker.consumer(INTAKE_ORDERS, 5) for _ in range(2)]
    send(broker, [order(number) for number in range(10)])
    shares = [{d.message_id for d in gather(consumer, 5, SECONDS)} for consumer in consumers]
    assert [len(share) for share in shares] == [5, 5]
    assert shares[0] | shares[1] == {f"m{number}" for number in range(10)}


def test_deliveries_may_be_settled_in_any_order(broker: Broker) -> None:
    send(broker, [order(number) for number in range(6)])
    first = broker.consumer(INTAKE_ORDERS, 10)
    held = gather(first, 6, SECONDS)
    first.settle([held[4], held[1]])
    first.settle([held[0]])
    first.settle([held[0]])
    first.close()
    again = one_by_one(broker.consumer(INTAKE_ORDERS, 10), 3)
    assert [(d.message_id, d.redeliveries) for d in again] == [("m2", 1), ("m3", 1), ("m5", 1)]


def test_what_is_unsettled_goes_back_to_the_head_of_its_queue(broker: Broker) -> None:
    send(broker, [order(number) for number in range(3)])
    for handed_out in (2, 1):
        consumer = broker.consumer(INTAKE_ORDERS, 2)
        gather(consumer, handed_out, SECONDS)
        consumer.close()
        eventually(lambda: broker.depth(INTAKE_ORDERS), 3, SECONDS)
    *returned, new = one_by_one(broker.consumer(INTAKE_ORDERS, 10), 3)
    assert sorted(d.message_id for d in returned) == ["m0", "m1"]
    assert sorted(d.redeliveries for d in returned) == [1, 2], "either may come first among those that were returned"
    assert (new.message_id, new.redeliveries) == ("m2", 0)


def test_a_closed_consumer_gives_nothing_more(broker: Broker) -> None:
    send(broker, [order(1), order(2)])
    consumer = broker.consumer(INTAKE_ORDERS, 10)
    eventually(lambda: broker.depth(INTAKE_ORDERS), 0, SECONDS)
    consumer.close()
    consumer.close()
    assert consumer.take(10, 0) == []
    eventually(lambda: broker.depth(INTAKE_ORDERS), 2, SECONDS)


def test_a_successor_passes_over_what_was_handed_to_its_predecessor(broker: Broker) -> None:
    send(broker, [order(1)])
    first = broker.consumer(INTAKE_ORDERS, 1)
    (former,) = gather(first, 1, SECONDS)
    first.close()
    second = broker.consumer(INTAKE_ORDERS, 1)
    gather(second, 1, SECONDS)
    second.settle([former])
    second.close()
    eventually(lambda: broker.depth(INTAKE_ORDERS), 1, SECONDS)


def test_waking_ends_a_take_that_waits(broker: Broker) -> None:
    consumer = broker.consumer(INTAKE_ORDERS, 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(consumer.take, 1, SECONDS * 10)
        consumer.interrupt()
        assert waiting.result(SECONDS) == []


def test_waking_ends_the_next_take_if_none_waits_and_then_is_spent(broker: Broker) -> None:
    consumer = broker.consumer(INTAKE_ORDERS, 1)
    consumer.interrupt()
    assert consumer.take(1, SECONDS * 10) == []
    send(broker, [order(1)])
    assert [d.message_id for d in consumer.take(1, SECONDS)] == ["m1"]


def test_a_message_ends_a_take_that_waits(broker: Broker) -> None:
    consumer = broker.consumer(INTAKE_ORDERS, 5)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(consumer.take, 5, SECONDS)
        send(broker, [order(1)])
        assert [d.message_id for d in waiting.result(SECONDS)] == ["m1"]


def test_a_header_that_pretends_to_be_the_brokers_count_does_no_harm(broker: Broker) -> None:
    send(broker, [order(1, headers={"x-delivery-count": "many"}), order(2)])
    first, second = gather(broker.consumer(INTAKE_ORDERS, 10), 2, SECONDS)
    assert (first.message_id, first.redeliveries, second.message_id) == ("m1", 0, "m2")


def test_what_is_handed_out_too_often_is_parked_with_the_reason(
    open_ground: Callable[[Topology], Ground],
) -> None:
    queues = [
        replace(queue, arguments={**queue.arguments, "x-delivery-limit": 2}) if queue.name == INTAKE_ORDERS else queue
        for queue in TOPOLOGY.queues
    ]
    broker = open_ground(replace(TOPOLOGY, queues=tuple(queues))).broker
    broker.declare()
    send(broker, [order(1, headers={"order": "one"})])
    seen = []
    for _ in range(3):
        consumer = broker.consumer(INTAKE_ORDERS, 1)
        seen += gather(consumer, 1, SECONDS)
        consumer.close()
    assert [d.redeliveries for d in seen] == [0, 1, 2]
    eventually(lambda: broker.depth(PARKING), 1, SECONDS)
    (parked,) = broker.browse(PARKING, 10)
    assert (parked.message_id, parked.headers["order"]) == ("m1", "one")
    assert parked.headers["x-first-death-queue"] == INTAKE_ORDERS
    assert parked.headers["x-first-death-reason"] == "delivery_limit"
    assert parked.headers["x-first-death-exchange"] == ORDERS
    assert (parked.exchange, parked.user_id) == (DEAD_LETTERS, seen[0].user_id)
    assert parked.user_id
    assert broker.depth(INTAKE_ORDERS) == 0


def test_who_begins_gets_one_at_a_time_of_what_was_handed_out_before(broker: Broker) -> None:
    """What ends its consumer on receipt must be the only one in hand: each end counts for all that were."""
    send(broker, [order(number) for number in range(5)])
    first = broker.consumer(INTAKE_ORDERS, 10)
    gather(first, 5, SECONDS)
    first.close()
    eventually(lambda: broker.depth(INTAKE_ORDERS), 5, SECONDS)
    send(broker, [order(number) for number in range(5, 25)])
    second = broker.consumer(INTAKE_ORDERS, 10)
    seen: list[str] = []
    for left in range(24, 19, -1):
        (delivery,) = gather(second, 1, SECONDS)
        seen.append(delivery.message_id)
        assert delivery.redeliveries == 1
        assert broker.depth(INTAKE_ORDERS) == left
        assert second.take(1, 0.05) == []
        second.settle([delivery])
    new = gather(second, 10, SECONDS)
    assert sorted(seen) == [f"m{number}" for number in range(5)]
    assert {delivery.redeliveries for delivery in new} == {0}
    eventually(lambda: broker.depth(INTAKE_ORDERS), 10, SECONDS)
    second.settle(new)
    assert len(gather(second, 10, SECONDS)) == 10


def test_queues_of_copies_that_were_not_there_are_told_until_it_is_made_up_for(
    open_ground: Callable[[Topology], Ground],
) -> None:
    broker = open_ground(replace(TOPOLOGY, copies=frozenset({PARKING}))).broker
    for expected in ({PARKING}, set[str]()):
        broker.declare()
        assert broker.missed == expected
        broker.missed.clear()


def test_a_body_beyond_the_limit_comes_as_its_beginning_and_is_parked_whole(broker: Broker) -> None:
    large = order(1, body=b"x" * (MAX_BYTES + 1))
    send(broker, [large, order(2, body=b"y" * MAX_BYTES), order(3)])
    consumer = broker.consumer(INTAKE_ORDERS, 10)
    deliveries = {delivery.message_id: delivery for delivery in gather(consumer, 3, SECONDS)}
    assert (deliveries["m1"].body, deliveries["m1"].size) == (b"x" * MAX_BYTES, MAX_BYTES + 1)
    assert (deliveries["m2"].body, deliveries["m2"].size) == (b"y" * MAX_BYTES, 0)
    consumer.reject([deliveries["m1"]])
    consumer.reject([deliveries["m1"]])
    consumer.settle([deliveries["m2"], deliveries["m3"]])
    eventually(lambda: broker.depth(PARKING), 1, SECONDS)
    (parked,) = broker.browse(PARKING, 10)
    assert (parked.body, parked.headers["x-first-death-reason"]) == (large.body, "rejected")
    consumer.close()
    eventually(lambda: broker.depth(INTAKE_ORDERS), 0, SECONDS)


# Watching


def test_watching_sees_what_is_published_and_takes_nothing_away(broker: Broker) -> None:
    with_pattern, with_all = broker.watch(EVENTS, "install.*.v1", "mail.#"), broker.watch(EVENTS, "#")
    completed = Message(EVENTS, "install.completed.v1", b"1", message_id="completed")
    send(broker, [completed, Message(EVENTS, "account.created.v1", b"2", message_id="created")])
    [first] = with_pattern.take(1, 3600)  # wakes when it comes, not when the time is up
    assert first.message_id == "completed"
    assert [d.message_id for d in gather(with_all, 2, SECONDS)] == ["completed", "created"]
    assert with_pattern.take(1, 0.1) == []
    assert [d.message_id for d in gather(broker.consumer(table.MAILER_INSTALLS, 1), 1, SECONDS)] == ["completed"]


def test_what_is_watched_needs_no_settling(broker: Broker) -> None:
    watcher = broker.watch(EVENTS, "#")
    send(broker, [Message(EVENTS, "install.failed.v1", b"", message_id=f"m{number}") for number in range(1500)])
    assert [d.message_id for d in gather(watcher, 1500, SECONDS)] == [f"m{number}" for number in range(1500)]


def test_watching_leaves_nothing_behind(broker: Broker) -> None:
    watched = Message(EVENTS, "weather.changed.v1", b"rain")
    publisher, watcher = broker.publisher(), broker.watch(EVENTS, "weather.#")
    assert publisher.publish([watched], SECONDS) == [Confirmation.CONFIRMED]
    watcher.close()
    eventually(lambda: publisher.publish([watched]), [Confirmation.UNROUTABLE], SECONDS)


# The delayed exchange


def test_a_delayed_message_comes_when_it_is_due(ground: Ground) -> None:
    delays = [15, 1, 6, 2, 9, 3, 8, 4]
    began = ground.now()
    send(ground.broker, [delayed(ground, units, INSTALLER_DUE, str(units)) for units in delays])
    arrived = arrivals(ground, ground.broker.consumer(INSTALLER_DUE, 100), len(delays))
    assert sorted(int(d.body) for _, d in arrived) == sorted(delays)
    for moment, delivery in arrived:
        stayed = moment - began
        # The broker counts whole milliseconds on every level, so it may be early by one for each.
        assert UNIT * int(delivery.body) - timedelta(milliseconds=4) <= stayed < timedelta(seconds=SECONDS)


def test_a_message_due_in_the_past_comes_at_once(ground: Ground) -> None:
    late = delayed(ground, -1000, INSTALLER_DUE, "late")
    assert late.exchange == DELIVER
    send(ground.broker, [late])
    assert [d.message_id for d in gather(ground.broker.consumer(INSTALLER_DUE, 1), 1, SECONDS)] == ["late"]


def test_what_nobody_takes_at_the_ladders_end_is_collected_and_stops_nobody(ground: Ground) -> None:
    lost = [delayed(ground, 1, "no.such.queue", f"lost{number}") for number in range(40)]
    send(ground.broker, lost)
    good = [delayed(ground, 1, INSTALLER_DUE, f"good{number}") for number in range(10)]
    send(ground.broker, good)
    arrived = arrivals(ground, ground.broker.consumer(INSTALLER_DUE, 100), 10)
    assert {d.message_id for _, d in arrived} == {message.message_id for message in good}
    eventually(lambda: ground.broker.depth(UNROUTED), 40, SECONDS)


def test_a_message_can_be_delayed_three_times_over(ground: Ground) -> None:
    publisher, consumer = ground.broker.publisher(), ground.broker.consumer(INSTALLER_DUE, 1)
    for attempt in range(4):
        sent = delayed(ground, 3, INSTALLER_DUE, "install")._replace(headers={"attempt": attempt})
        assert publisher.publish([sent], SECONDS) == [Confirmation.CONFIRMED]
        ((_, delivery),) = arrivals(ground, consumer, 1)
        assert (delivery.message_id, delivery.headers["attempt"]) == ("install", attempt)


def test_a_message_on_the_ladder_waits_out_its_time_whoever_looks(open_ground: Callable[[Topology], Ground]) -> None:
    ground = open_ground(table.sitecrew(Ladder(unit_ms=4000, levels=1)))  # two looks, on a machine that may be busy
    ground.broker.declare()
    send(ground.broker, [delayed(ground, 80, INSTALLER_DUE, "later")])
    eventually(lambda: ground.broker.depth("delay.0"), 1, 3)
    assert ground.broker.depth(INSTALLER_DUE) == 0
    arrivals(ground, ground.broker.consumer(INSTALLER_DUE, 1), 1)
    assert ground.broker.depth("delay.0") == 0


# Looking into it


def test_a_queue_that_is_not_there_has_no_depth(broker: Broker) -> None:
    assert broker.depth("no.such.queue") is None
    assert broker.depth(INTAKE_ORDERS) == 0


def test_browsing_leaves_everything_where_it_was(broker: Broker) -> None:
    send(broker, [Message(PARKING, "", b"%d" % number, message_id=f"m{number}") for number in range(5)])
    for _ in range(3):
        assert [d.message_id for d in broker.browse(PARKING, 3)] == ["m0", "m1", "m2"]
        eventually(lambda: broker.depth(PARKING), 5, SECONDS)
    assert [d.message_id for d in broker.browse(PARKING, 100)] == [f"m{number}" for number in range(5)]


def test_those_who_look_at_the_same_time_all_see_everything(broker: Broker) -> None:
    send(broker, [Message(PARKING, "", b"%d" % number, message_id=f"m{number}") for number in range(5)])
    with ThreadPoolExecutor(3) as readers:
        looks = [readers.submit(broker.browse, PARKING, 10) for _ in range(12)]
    assert [len(look.result()) for look in looks] == [5] * 12
    assert len(broker.remove(PARKING, [delivery.name for delivery in broker.browse(PARKING, 10)])) == 5


def test_what_is_named_is_removed_and_the_rest_stays(broker: Broker) -> None:
    send(broker, [Message(PARKING, "", b"%d" % number, message_id=f"m{number}") for number in range(5)])
    assert broker.remove(PARKING, ["m3", "nobody", "m1"]) == ["m1", "m3"]
    assert broker.remove(PARKING, ["m3"]) == []
    eventually(lambda: [d.message_id for d in broker.browse(PARKING, 10)], ["m0", "m2", "m4"], SECONDS)


def test_a_name_that_is_given_twice_takes_two_messages(broker: Broker) -> None:
    twins = [Message(PARKING, "", b"twin") for _ in range(3)]
    send(broker, [*twins, Message(PARKING, "", b"other")])
    name = broker.browse(PARKING, 1)[0].name
    assert broker.remove(PARKING, [name, name]) == [name, name]
    eventually(lambda: [d.body for d in broker.browse(PARKING, 10)], [b"twin", b"other"], SECONDS)


@pytest.mark.parametrize("look", ["browse", "remove"])
def test_what_is_no_queue_cannot_be_looked_into(broker: Broker, look: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no queue 'no\.such\.queue'.*topology check"):
        broker.browse("no.such.queue", 1) if look == "browse" else broker.remove("no.such.queue", ["m1"])


# Declaring


def test_what_is_missing_is_named_until_it_is_declared(open_ground: Callable[[Topology], Ground]) -> None:
    broker = open_ground(TOPOLOGY).broker
    missing = broker.differences()
    assert len(missing) == len(TOPOLOGY.exchanges) + len(TOPOLOGY.queues)
    assert "queue installer.due is missing; create it with `sitecrew topology declare`" in missing
    assert broker.differences() == missing
    broker.declare()
    assert broker.differences() == []


def test_declaring_again_changes_nothing(broker: Broker) -> None:
    send(broker, [order(1)])
    broker.declare()
    eventually(lambda: broker.depth(INTAKE_ORDERS), 1, SECONDS)
    send(broker, [order(2)])
    eventually(lambda: broker.depth(INTAKE_ORDERS), 2, SECONDS)


def test_declaring_removes_the_bindings_that_an_earlier_version_declared(
    open_ground: Callable[[Topology], Ground],
) -> None:
    earlier = replace(TOPOLOGY, bindings=(*TOPOLOGY.bindings, *TOPOLOGY.retired), retired=())
    broker = open_ground(earlier).broker
    started = Message(EVENTS, "install.started.v1", b"started", message_id="started")
    completed = Message(EVENTS, "install.completed.v1", b"completed", message_id="completed")
    broker.declare()
    send(broker, [started, completed])
    eventually(lambda: broker.depth(INTAKE_INSTALLS), 2, SECONDS)
    broker.topology = TOPOLOGY  # type: ignore[attr-defined]
    broker.declare()
    broker.declare()
    broker.publisher().publish([started, completed], SECONDS)
    eventually(lambda: broker.depth(INTAKE_INSTALLS), 3, SECONDS)
    taken = gather(broker.consumer(INTAKE_INSTALLS, 10), 3, SECONDS)
    assert [delivery.message_id for delivery in taken] == ["started", "completed", "completed"]


def test_publisher_and_consumer_declare_what_is_missing(open_ground: Callable[[Topology], Ground]) -> None:
    broker = open_ground(TOPOLOGY).broker
    send(broker, [order(1)])
    assert [d.message_id for d in gather(broker.consumer(INTAKE_ORDERS, 1), 1, SECONDS)] == ["m1"]


def test_closing_the_broker_closes_what_was_opened_through_it(broker: Broker) -> None:
    send(broker, [order(1)])
    consumer = broker.consumer(INTAKE_ORDERS, 1)
    gather(consumer, 1, SECONDS)
    broker.close()
    eventually(lambda: broker.depth(INTAKE_ORDERS), 1, SECONDS)
    assert consumer.take(1, 0) == []


def test_what_is_closed_leaves_no_thread_and_no_memory_behind(broker: Broker) -> None:
    def use() -> Iterator[weakref.ref[object]]:
        publisher, consumer, watcher = broker.publisher(), broker.consumer(INTAKE_ORDERS, 1), broker.watch(EVENTS, "#")
        assert publisher.publish([order(1)], SECONDS) == [Confirmation.CONFIRMED]
        consumer.settle(gather(consumer, 1, SECONDS))
        for opened in (publisher, consumer, watcher):
            opened.close()
            yield weakref.ref(opened)

    threads = threading.active_count()
    closed = [reference for _ in range(3) for reference in use()]
    gc.collect()
    assert threading.active_count() == threads
    assert [reference() for reference in closed] == [None] * 9


def test_many_threads_take_and_settle_on_one_consumer(broker: Broker) -> None:
    send(broker, [order(number) for number in range(400)])
    consumer = broker.consumer(INTAKE_ORDERS, 50)
    arrived: list[str] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            for delivery in consumer.take(7, 0.1):
                arrived.append(delivery.message_id)
                consumer.settle([delivery])

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
        try:
            until(lambda: len(arrived) >= 400, SECONDS)
        finally:
            done.set()
    assert sorted(arrived) == sorted(f"m{number}" for number in range(400))
