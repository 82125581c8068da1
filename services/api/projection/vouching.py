"""Who a producer names as having asked for something has asked for it as far as the producer says."""

from typing import Any

from foundation.broker import Delivery, codec
from foundation.broker.topology import ORDERS
from schemas.envelope import Event


def read(delivery: Delivery, user: str) -> Event[Any]:
    """Read an event. If it came from a producer, by another broker user than `user`, which is ours, its `authid` says
    that this user claims it. Raises Malformed."""
    event = codec.read(delivery)
    if delivery.exchange != ORDERS or not event.authid or delivery.user_id == user:
        return event
    says = delivery.user_id[:80] or "its producer"
    return event.model_copy(update={"authid": f"{event.authid[:160]} (says {says})"})
