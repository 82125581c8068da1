"""The parking queue: what stands in it, and the way back to work.

There are two ways in. A service parks what it cannot handle, with the reason in headers of ours. The
broker parks what was handed out too often without being settled, and says so in its own headers.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from foundation.broker import Delivery
from foundation.broker.codec import BINARY_PREFIXES
from foundation.broker.delay import is_detour
from foundation.broker.limits import MAX_BYTES
from foundation.broker.sender import OURSELVES, Sender, noted, sender_of
from foundation.broker.setbacks import FIRST_PARKED_AT, TIMES_PARKED
from foundation.broker.topology import ORDERS, UNROUTED
from foundation.config.queues import INTAKE_ORDERS, WORK_QUEUES
from foundation.handling.death import Death, death_of
from schemas.catalogue import PREFIX
from sitecrew.cli.client import payloads
from sitecrew.cli.output.times import exact

_NEVER = datetime.max.replace(tzinfo=UTC)
_BY_POLICY = {"expired": "it had waited for longer than it may", "maxlen": "the queue was longer than it may be"}
"""What no work queue of ours does by itself: there messages stay until they are handled."""


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
    first_at: datetime | None = None
    """When it was parked for the first time, before it was requeued."""
    times: int = 1
    """How often it was parked."""
    order_id: str = ""
    """Which order it is about, as far as it can be read."""
    event_type: str = ""
    """What is said, as far as it can be read."""
    sender: Sender = OURSELVES
    """Who first sent it."""

    @property
    def name(self) -> str:
        """What people call it by."""
        return self.delivery.name

    @property
    def type(self) -> str:
        """What is said, if it says so, without what all types begin with."""
        return (self.delivery.type or self.event_type).removeprefix(PREFIX)

    @property
    def since(self) -> datetime:
        """Since when it waits for somebody, for sorting: what does not say so comes last."""
        return self.first_at or self.at or _NEVER

    @property
    def can_go_back(self) -> bool:
        """Whether it is known where it belongs."""
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


def read(delivery: Delivery, user: str = "") -> Parked:
    """What a message in the parking queue says of itself. The broker vouches for `user`, who is ourselves."""
    # A sender may write any header, so ours are believed only where the broker has not put its own: what a service
    # parks inherits none of them.
    ours = "parked-from" in delivery.headers and death_of(delivery) is None and delivery.queue != UNROUTED
    parked = _by_service(delivery) if ours else _by_broker(delivery, user)
    order_id, source, event_type = _content(delivery)
    return replace(parked, order_id=order_id, sent_by=parked.sent_by or source, event_type=event_type)


def _content(delivery: Delivery) -> tuple[str, str, str]:
    """The order that a message is about, who sent it and what type it is, as far as its body can be read."""
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
    # What no queue took came from its sender as it is, with whatever headers he liked.
    died = death_of(delivery) if delivery.queue != UNROUTED else None
    death = died or Death("", "", delivery.exchange)
    queue, code = death.queue, death.reason
    if code == "delivery_limit":
        reason = f"it was handed out too often from {queue} and never settled: its workers ended, or lost the broker"
        remedy = f"look for what ended the workers of {queue} at that time, mend it, then requeue; or purge it"
    elif code == "rejected" and len(delivery.body) > MAX_BYTES:
        code = "too_large"
        reason, remedy = f"it has {len(delivery.body)} bytes; at most {MAX_BYTES} are read", "purge it"
    elif code in _BY_POLICY:
        reason = f"the broker took it out of {queue}: {_BY_POLICY[code]}. That is a policy of the house, not ours"
        remedy = "`sitecrew doctor` (broker policies) tells which; take our queues out of it, then requeue"
    elif code:
        reason, remedy = f"the broker took it out of {queue}: {code}", "see what it is, then requeue or purge it"
    elif delivery.queue == UNROUTED:
        reason, remedy = "no queue takes what it is addressed to", "correct the routing key at the sender; purge it"
    else:
        reason, remedy = "nothing says why it is here", "see what it is, then purge it"
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
    """Who first sent what the broker took out of a queue. Brokers before 4.0 keep the exchange of an `x-death` that the
    sender made up. So where producers may write, it is believed to have come on ways that are closed to them only if
    the broker vouches that we have published it."""
    said = sender_of(replace(delivery, exchange=death.exchange))
    closed = is_detour(death.exchange) or not said.is_producer
    ours = user != "" and delivery.user_id == user
    return said if ours or not (closed and death.queue == INTAKE_ORDERS) else Sender(ORDERS, user_id=delivery.user_id)


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
    """A header's value as JSON can hold it."""
    plain: Callable[[object], Any] = _plain
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
