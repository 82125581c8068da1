"""Requeueing parked messages, and deleting them; it is told by events who did so."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Event as Pause
from time import monotonic

from foundation.broker import Broker, Confirmation, Message
from foundation.broker.codec import BINARY_PREFIXES
from foundation.broker.delay import DELIVER, destination
from foundation.broker.setbacks import FIRST_PARKED_AT, TIMES_PARKED
from foundation.errors import BrokerUnreachable
from schemas.services import MessagePurged, MessageRequeued
from sitecrew.cli.client import sending
from sitecrew.cli.client.parking import Parked
from sitecrew.cli.output import times

_BATCH = 200
"""How many are requeued at a time: as many can be in both queues if we are killed."""
_RETURNED_WITHIN = 5.0
"""Seconds within which the broker returns browsed messages to their queue."""


def requeue(broker: Broker, queue: str, chosen: Sequence[Parked]) -> Iterator[tuple[Parked, Confirmation]]:
    """Publish messages unchanged to the queues they came from, and remove each from parking once the broker has
    confirmed it. A crash in between leaves a message in both, which is safe: receivers drop duplicates. Every message
    must have `can_go_back`."""
    publisher = broker.publisher()
    for batch in _batches(chosen):
        outcomes = publisher.publish([_original(parked) for parked in batch])
        results = list(zip(batch, outcomes, strict=True))
        gone = [parked for parked, outcome in results if outcome == Confirmation.CONFIRMED]
        _remove(broker, queue, [parked.name for parked in gone])
        _tell(broker, [_requeued(parked) for parked in gone])
        yield from results


def requeue_edited(broker: Broker, queue: str, parked: Parked, body: bytes) -> Confirmation:
    """Requeue one message with another body."""
    [outcome] = broker.publisher().publish([_original(parked, body)])
    if outcome == Confirmation.CONFIRMED:
        _remove(broker, queue, [parked.name])
        _tell(broker, [_requeued(parked)])
    return outcome


def purge(broker: Broker, queue: str, chosen: Sequence[Parked]) -> list[str]:
    """Permanently remove messages and return the names of those removed."""
    removed = _remove(broker, queue, [parked.name for parked in chosen])
    orders = {parked.name: _line(parked.order_id) for parked in chosen}
    _tell(broker, [MessagePurged(message_id=_line(name) or "-", order_id=orders[name]) for name in removed])
    return removed


def _requeued(parked: Parked) -> MessageRequeued:
    names = {"message_id": _line(parked.name) or "-", "order_id": _line(parked.order_id)}
    return MessageRequeued(queue=parked.came_from, **names)


def _tell(broker: Broker, news: Sequence[MessageRequeued | MessagePurged]) -> None:
    """Publish what was done. It is done even if the broker is gone by now."""
    events = [sending.event(data, data.order_id) for data in news]
    with suppress(BrokerUnreachable):
        sending.publish(broker, [sending.message(event)._replace(mandatory=False) for event in events])


def _line(text: str) -> str | None:
    """Return as much of what a sender wrote as fits into one line of an event; None if that is nothing."""
    return "".join(letter for letter in text if letter.isprintable())[:200].strip() or None


def _remove(broker: Broker, queue: str, names: Sequence[str]) -> list[str]:
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
    headers |= {FIRST_PARKED_AT: times.exact(first), TIMES_PARKED: parked.times + 1} if first else {}
    return Message(
        exchange=DELIVER,
        routing_key=destination(parked.came_from),
        body=delivery.body if body is None else body,
        message_id=parked.message_id,
        type=delivery.type,
        content_type=delivery.content_type,
        headers=headers,
    )
