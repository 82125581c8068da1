"""Reading parked messages: why each was parked, and which queue it came from.

There are two ways in. A service parks what it cannot handle, with the reason in our own headers. The broker
dead-letters what was delivered too often without being settled, with the reason in its headers.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from foundation.broker import Broker, Delivery, payloads
from foundation.broker.codec import BINARY_PREFIXES
from foundation.broker.delay import is_detour
from foundation.broker.limits import MAX_BYTES
from foundation.broker.sender import OURSELVES, Sender, noted, sender_of
from foundation.broker.setbacks import FIRST_PARKED_AT, TIMES_PARKED
from foundation.broker.topology import ORDERS, UNROUTED
from foundation.clock import exact
from foundation.config.queues import FROM_PRODUCERS, WORK_QUEUES
from foundation.config.rights import OURS
from foundation.handling.death import Death, death_of
from schemas.catalogue import PREFIX

_NEVER = datetime.max.replace(tzinfo=UTC)
_BY_POLICY = {"expired": "it had waited longer than allowed", "maxlen": "the queue was longer than allowed"}
"""Reasons that only the broker's policies can cause: our work queues keep messages until they are handled."""

_ALL = 1_000_000
"""More than anybody has parked: whoever compares takes what is not read for gone."""


@dataclass(frozen=True)
class Parked:
    """One parked message."""

    delivery: Delivery
    at: datetime | None
    by: str
    """The service that parked it, or the broker."""
    came_from: str
    """The queue that it was parked from; empty if unknown."""
    code: str
    reason: str
    remedy: str
    field: str = ""
    sent_by: str = ""
    message_id: str = ""
    """Its message id before it was parked."""
    first_at: datetime | None = None
    """When it was first parked, if it was requeued since."""
    times: int = 1
    """How often it was parked."""
    order_id: str = ""
    """The order it is about, as far as the body can be read."""
    event_type: str = ""
    """The type of the event, as far as the body can be read."""
    sender: Sender = OURSELVES
    """Who first sent it."""

    @property
    def name(self) -> str:
        """The id that people use for it."""
        return self.delivery.name

    @property
    def told_name(self) -> str:
        """The id as events have it."""
        return _line(self.name) or "-"

    @property
    def type(self) -> str:
        """The type of the event, if known, without the prefix that all types share."""
        return (self.delivery.type or self.event_type).removeprefix(PREFIX)

    @property
    def told_order(self) -> str | None:
        """The order's id as events have it."""
        return _line(self.order_id)

    @property
    def since(self) -> datetime:
        """When it was first parked, for sorting: unknown times come last."""
        return self.first_at or self.at or _NEVER

    @property
    def can_go_back(self) -> bool:
        """Whether the queue it came from is known."""
        return self.came_from in WORK_QUEUES

    def record(self) -> dict[str, Any]:
        """As JSON shows it, without its body."""
        named = ("by", "came_from", "code", "reason", "remedy", "field", "sent_by", "message_id", "order_id")
        return {
            "id": self.name,
            "parked_at": exact(self.at) if self.at else None,
            "first_parked_at": exact(self.first_at) if self.first_at else None,
            "times_parked": self.times,
            **{name: getattr(self, name) or None for name in named},
            "type": self.delivery.type or self.event_type or None,
            "content_type": self.delivery.content_type or None,
            "bytes": len(self.delivery.body),
            "headers": payloads.masked({name: _plain(value) for name, value in self.delivery.headers.items()}),
        }


def browse(broker: Broker, queue: str) -> list[Parked]:
    """Return what is in a queue of parked messages now, the oldest first, and leave it there. Sorted here, because
    browsing changes the broker's order."""
    found = [read(one, broker.user) for one in broker.browse(queue, _ALL)]
    return sorted(found, key=lambda parked: parked.since)


def read(delivery: Delivery, user: str = "") -> Parked:
    """Interpret a message from the parking queue. `user` is our own broker user, which the broker vouches for."""
    # A sender can forge any header, so our own are trusted only without the broker's: what a service parks does not
    # inherit those.
    ours = "parked-from" in delivery.headers and death_of(delivery) is None and delivery.queue != UNROUTED
    parked = _by_service(delivery) if ours else _by_broker(delivery, user)
    order_id, source, event_type = _content(delivery)
    return replace(parked, order_id=order_id, sent_by=parked.sent_by or source, event_type=event_type)


def _content(delivery: Delivery) -> tuple[str, str, str]:
    """A message's order id, source and type, as far as its body can be read."""
    body: Any = None
    if len(delivery.body) <= MAX_BYTES:
        with suppress(orjson.JSONDecodeError):
            body = orjson.loads(delivery.body)
    whole = body if isinstance(body, dict) else {}
    data = whole["data"] if isinstance(whole.get("data"), dict) else whole
    install = str(data.get("install_id") or "").rpartition("-g")[0]
    order_id = data.get("order_id") or install or whole.get("subject") or _attribute(delivery, "subject")
    source, event_type = (str(whole.get(name) or _attribute(delivery, name))[:255] for name in ("source", "type"))
    return str(order_id)[:64], source, event_type


def _attribute(delivery: Delivery, name: str) -> str:
    """A CloudEvents attribute in binary mode."""
    found = (delivery.headers.get(prefix + name) for prefix in BINARY_PREFIXES)
    return next((value for value in found if isinstance(value, str)), "")


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
        first_at=_moment(headers.get(FIRST_PARKED_AT, "")),
        times=_times(delivery),
        sender=noted(delivery),
    )


def _by_broker(delivery: Delivery, user: str) -> Parked:
    # What no queue took comes straight from its sender, with whatever headers that chose.
    died = death_of(delivery) if delivery.queue != UNROUTED else None
    death = died or Death("", "", delivery.exchange)
    queue, code = death.queue, death.reason
    if code == "delivery_limit":
        reason = f"it was delivered too often from {queue} and never settled: its workers ended, or lost the broker"
        remedy = f"find out what ended the workers of {queue} at that time, fix it, then requeue; or purge it"
    elif code == "rejected" and len(delivery.body) > MAX_BYTES:
        code = "too_large"
        reason, remedy = f"it has {len(delivery.body)} bytes; the limit is {MAX_BYTES}", "purge it"
    elif code in _BY_POLICY:
        reason = f"the broker removed it from {queue}: {_BY_POLICY[code]}, by a policy that is not Sitecrew's"
        remedy = "`sitecrew doctor` (broker policies) names the policy; exclude our queues from it, then requeue"
    elif code:
        reason, remedy = f"the broker removed it from {queue}: {code}", "see what it is, then requeue or purge it"
    elif delivery.queue == UNROUTED:
        reason, remedy = "no queue is bound to its routing key", "correct the routing key at the sender; purge it"
    else:
        reason, remedy = "it does not say why it is here", "see what it is, then purge it"
    return Parked(
        delivery=delivery,
        at=death.at,
        by="broker" if code else "",
        came_from=queue,
        code=code,
        reason=reason,
        remedy=remedy,
        message_id=delivery.message_id,
        sender=_sender(delivery, death, user),
    )


def _sender(delivery: Delivery, death: Death, user: str) -> Sender:
    """Who first sent a message that the broker dead-lettered. Brokers before 4.0 keep the exchange of an `x-death` that
    the sender forged. So in a queue that producers can reach, an exchange that is closed to them is believed only if
    the broker vouches that we published the message, or another of our services."""
    said = sender_of(delivery._replace(exchange=death.exchange))
    closed = is_detour(death.exchange) or not said.is_producer
    ours = delivery.user_id in OURS or (user != "" and delivery.user_id == user)
    return said if ours or not (closed and death.queue in FROM_PRODUCERS) else Sender(ORDERS, user_id=delivery.user_id)


def _line(text: str) -> str | None:
    """Return as much of what a sender wrote as fits into one line of an event; None if that is nothing."""
    return "".join(letter for letter in text if letter.isprintable())[:200].strip() or None


def _times(delivery: Delivery) -> int:
    times = delivery.headers.get(TIMES_PARKED)
    return times if isinstance(times, int) and times > 0 else 1


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(value: object) -> Any:
    """A header's value, converted to what JSON can hold."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
