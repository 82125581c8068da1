"""Requeueing parked messages, and deleting them; both are told of by events."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from threading import Event as Pause
from time import monotonic
from typing import Any

from foundation.broker import Broker, Confirmation, Message, Publisher, codec
from foundation.broker.codec import BINARY_PREFIXES
from foundation.broker.delay import DELIVER, destination
from foundation.broker.setbacks import FIRST_PARKED_AT, TIMES_PARKED
from foundation.clock import exact
from foundation.errors import BrokerUnreachable
from foundation.handling.parking import Parked
from schemas import catalogue
from schemas.envelope import Event
from schemas.services import MessagePurged, MessageRequeued
from schemas.values import Model

_BATCH = 200
"""How many are requeued at a time: as many can be in both queues if we are killed."""
_RETURNED_WITHIN = 5.0
"""Seconds within which the broker returns browsed messages to their queue."""


Tell = Callable[[Model, str | None], Event[Any]]
"""Makes an event of its data and the order's id, on behalf of whoever acts."""


def requeue(broker: Broker, queue: str, chosen: Sequence[Parked], tell: Tell) -> Iterator[tuple[Parked, Confirmation]]:
    """Publish messages unchanged to the queues they came from, and remove each from parking once the broker has
    confirmed it. A crash in between leaves a message in both, which is safe: receivers drop duplicates. Every message
    must have `can_go_back`."""
    with closing(broker.publisher()) as publisher:
        for batch in _batches(chosen):
            outcomes = publisher.publish([_original(parked) for parked in batch])
            results = list(zip(batch, outcomes, strict=True))
            gone = [parked for parked, outcome in results if outcome == Confirmation.CONFIRMED]
            remove(broker, queue, [parked.name for parked in gone])
            _tell(publisher, [_requeued(parked, tell) for parked in gone])
            yield from results


def requeue_edited(broker: Broker, queue: str, parked: Parked, body: bytes, tell: Tell) -> Confirmation:
    """Requeue one message with another body. It must have `can_go_back`. Raises Malformed if it is not a valid event
    then."""
    codec.decode(body, parked.delivery.content_type, parked.delivery.headers)
    with closing(broker.publisher()) as publisher:
        [outcome] = publisher.publish([_original(parked, body)])
        if outcome == Confirmation.CONFIRMED:
            remove(broker, queue, [parked.name])
            _tell(publisher, [_requeued(parked, tell)])
    return outcome


def purge(broker: Broker, queue: str, chosen: Sequence[Parked], tell: Tell) -> list[str]:
    """Permanently remove messages and return the names of those removed: others may have been faster."""
    removed = remove(broker, queue, [parked.name for parked in chosen])
    gone = [parked for parked in chosen if parked.name in removed]
    with closing(broker.publisher()) as publisher:
        _tell(publisher, [_purged(parked, tell) for parked in gone])
    return removed


def _requeued(parked: Parked, tell: Tell) -> Event[Any]:
    order_id = parked.told_order
    return tell(MessageRequeued(message_id=parked.told_name, queue=parked.came_from, order_id=order_id), order_id)


def _purged(parked: Parked, tell: Tell) -> Event[Any]:
    order_id = parked.told_order
    return tell(MessagePurged(message_id=parked.told_name, order_id=order_id), order_id)


def _tell(publisher: Publisher, events: Sequence[Event[Any]]) -> None:
    """Publish what was done. It is done even if the broker is gone by now, or nobody listens."""
    messages = []
    for event in events:
        entry = catalogue.by_model(type(event.data))
        body = codec.encode(event)
        messages.append(Message(entry.exchange, entry.routing_key, body, event.id, event.type, mandatory=False))
    with suppress(BrokerUnreachable):
        publisher.publish(messages)


def remove(broker: Broker, queue: str, names: Sequence[str]) -> list[str]:
    """Permanently remove messages and return the names of those removed. Retries for a while, because browsed messages
    return to their queue with a delay."""
    removed: list[str] = []
    left, ends = list(names), monotonic() + _RETURNED_WITHIN
    while left:
        for name in broker.remove(queue, left):
            left.remove(name)
            removed.append(name)
        if left and (monotonic() > ends or Pause().wait(0.05)):
            break
    return removed


def _batches(chosen: Sequence[Parked]) -> Iterator[Sequence[Parked]]:
    return (chosen[at : at + _BATCH] for at in range(0, len(chosen), _BATCH))


def _original(parked: Parked, body: bytes | None = None) -> Message:
    """The message as it was sent, addressed to the one queue that it was parked from. `x-death` is not copied: brokers
    before 4.0.1 would take it for a cycle and drop the message."""
    delivery = parked.delivery
    headers = {
        name: value
        for name, value in delivery.headers.items()
        if name.startswith(BINARY_PREFIXES) and isinstance(value, str | int)
    }
    headers |= parked.sender.headers
    first = parked.first_at or parked.at
    headers |= {FIRST_PARKED_AT: exact(first), TIMES_PARKED: parked.times + 1} if first else {}
    return Message(
        exchange=DELIVER,
        routing_key=destination(parked.came_from),
        body=delivery.body if body is None else body,
        message_id=parked.message_id,
        type=delivery.type,
        content_type=delivery.content_type,
        headers=headers,
    )
