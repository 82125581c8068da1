"""Who a producer names as having asked for something has asked for it as far as the producer says."""

from collections.abc import Collection
from typing import Any

from foundation.broker import Delivery, codec
from foundation.broker.topology import ORDERS
from schemas.envelope import Event


def read(delivery: Delivery, vouching: Collection[str]) -> Event[Any]:
    """Read an event. If it came from a producer, by a broker user who is none of `vouching`, its `authid` says that
    this user claims it; what services make of it names the producer. Raises Malformed."""
    event = codec.read(delivery)
    if delivery.exchange != ORDERS or not event.authid or delivery.user_id in vouching:
        return event
    says = delivery.user_id[:80] or "its producer"
    return event.model_copy(update={"authid": f"{event.authid[:160]} (says {says})"})
