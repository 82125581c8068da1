"""The parking queue: what stands in it, and the way back to work.

There are two ways in. A service parks what it cannot handle, with the reason in headers of ours. The
broker parks what was handed out too often without being settled, and says so in its own headers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Event as Pause
from time import monotonic
from typing import Any

from foundation.broker import Broker, Delivery, Message, Outcome
from foundation.broker.codec import BINARY_PREFIXES
from foundation.broker.delay import DELIVER, Ladder, destination
from foundation.broker.sender import OURSELVES, Sender, noted, sender_of
from foundation.broker.topology import UNROUTED, sitecrew
from sitecrew.cli import bodies, moments

WORK_QUEUES = frozenset(bound.target for bound in sitecrew(Ladder()).bindings if bound.source == DELIVER)
"""The queues that a message can be put back into."""

_BATCH = 200
"""How many are on their way at a time: as many can be there twice if we are killed."""
_RETURNED_WITHIN = 5.0
"""Seconds within which the broker has put back into its queue what was only looked at."""


@dataclass(frozen=True)
class Parked:
    """One message that was set aside."""

    delivery: Delivery
    at: datetime | None
    by: str
    """The service that parked it, or the broker."""
    came_from: str
    """The queue that it was taken from; empty if nothing tells."""
    code: str
    reason: str
    remedy: str
    field: str = ""
    sent_by: str = ""
    message_id: str = ""
    """Its id before it was parked."""
    sender: Sender = OURSELVES
    """Who first sent it."""

    @property
    def name(self) -> str:
        """What people call it by."""
        return self.delivery.name

    @property
    def can_go_back(self) -> bool:
        """Whether it is known where it belongs."""
        return self.came_from in WORK_QUEUES

    def record(self) -> dict[str, Any]:
        """As JSON shows it, without its body."""
        named = ("name", "by", "came_from", "code", "reason", "remedy", "field", "sent_by", "message_id")
        return {
            "id": self.name,
            "parked_at": moments.exact(self.at) if self.at else None,
            **{name: getattr(self, name) or None for name in named[1:]},
            "type": self.delivery.type or None,
            "content_type": self.delivery.content_type or None,
            "bytes": len(self.delivery.body),
            "headers": bodies.masked({name: _plain(value) for name, value in self.delivery.headers.items()}),
        }


def read(delivery: Delivery) -> Parked:
    """What a message in the parking queue says of itself."""
    # A sender may write any header, so ours are believed only where the broker has not put its own: what a service
    # parks inherits none of them.
    by_broker = isinstance(delivery.headers.get("x-death"), list) or "x-first-death-queue" in delivery.headers
    return _by_service(delivery) if "parked-from" in delivery.headers and not by_broker else _by_broker(delivery)


def _by_service(delivery: Delivery) -> Parked:
    headers = {name: value for name, value in delivery.headers.items() if isinstance(value, str)}
    return Parked(
        delivery=delivery,
        at=_moment(headers.get("parked-at", "")),
        by=headers.get("parked-by", ""),
        came_from=headers["parked-from"],
        code=headers.get("reason-code", ""),
        reason=headers.get("reason", ""),
        remedy=headers.get("remedy", ""),
        field=headers.get("field", ""),
        sent_by=headers.get("sent-by", ""),
        message_id=headers.get("original-message-id", ""),
        sender=noted(delivery),
    )


def _by_broker(delivery: Delivery) -> Parked:
    death = _last_death(delivery.headers)
    queue, code = death.get("queue", ""), death.get("reason", "")
    if code == "delivery_limit":
        reason = f"it was handed out too often from {queue} and never settled: its workers ended, or lost the broker"
        remedy = f"look for what ended the workers of {queue} at that time, mend it, then requeue; or purge it"
    elif code:
        reason, remedy = f"the broker took it out of {queue}: {code}", "see what it is, then requeue or purge it"
    elif delivery.queue == UNROUTED:
        reason, remedy = "no queue takes what it is addressed to", "correct the routing key at the sender; purge it"
    else:
        reason, remedy = "nothing says why it is here", "see what it is, then purge it"
    moment = death.get("time")
    return Parked(
        delivery=delivery,
        at=moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None,
        by="broker" if code else "",
        came_from=queue,
        code=code,
        reason=reason,
        remedy=remedy,
        message_id=delivery.message_id,
        sender=sender_of(replace(delivery, exchange=str(death.get("exchange", delivery.exchange)))),
    )


def _last_death(headers: Mapping[str, object]) -> dict[str, Any]:
    """Where and why the broker last took the message out of a queue. Its first death will not do: what
    came through the delay ladder died there first, of old age."""
    deaths = headers.get("x-death")
    found = [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []
    at_work = [death for death in found if death.get("queue") in WORK_QUEUES]
    if at_work or found:
        return (at_work or found)[0]  # the broker puts the newest first
    for which in ("last", "first"):
        if f"x-{which}-death-queue" in headers:
            return {name: str(headers.get(f"x-{which}-death-{name}", "")) for name in ("queue", "reason", "exchange")}
    return {}


def requeue(broker: Broker, queue: str, chosen: Sequence[Parked]) -> Iterator[tuple[Parked, Outcome]]:
    """Put messages back into the queues they came from, as they were, and take each out of parking
    once the broker has confirmed it. What is cut short in between is in both; receivers know
    duplicates. All of them must be able to go back."""
    publisher = broker.publisher()
    for batch in _batches(chosen):
        outcomes = publisher.publish([_original(parked) for parked in batch])
        results = list(zip(batch, outcomes, strict=True))
        remove(broker, queue, [parked.name for parked, outcome in results if outcome == Outcome.CONFIRMED])
        yield from results


def remove(broker: Broker, queue: str, names: Sequence[str]) -> list[str]:
    """Take messages out for good; which of them were there. The broker needs a moment until what we
    have looked at is back in its queue."""
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


def _original(parked: Parked) -> Message:
    """The message as it was sent, on the way to the one queue that it was taken from. `x-death` is not
    inherited: brokers before 4.0.1 would take it for a cycle and drop the message."""
    delivery = parked.delivery
    headers = {
        name: value
        for name, value in delivery.headers.items()
        if name.startswith(BINARY_PREFIXES) and isinstance(value, str | int)
    }
    headers |= parked.sender.headers
    return Message(
        exchange=DELIVER,
        routing_key=destination(parked.came_from),
        body=delivery.body,
        message_id=parked.message_id,
        type=delivery.type,
        content_type=delivery.content_type,
        headers=headers,
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(value: object) -> Any:
    """A header's value as JSON can hold it."""
    plain: Callable[[object], Any] = _plain
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
