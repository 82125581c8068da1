"""Who sent a message, as validated by the broker, kept when we publish it again.

The broker lets nobody publish with another user's `user_id` (RabbitMQ documentation, "Validated User-ID"). What we
redeliver is published by us, and would carry our own; so the first sender travels in headers. Those are trusted only
on our own exchanges: a producer can write any header, but not publish there.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from foundation.broker import Delivery
from foundation.broker.delay import is_detour
from foundation.broker.topology import COMMANDS, EVENTS

_EXCHANGE = "sitecrew-exchange"
_USER = "sitecrew-user-id"


@dataclass(frozen=True)
class Sender:
    """Who first published a message."""

    exchange: str = ""
    """The exchange it was published to: `orders` by producers, `commands` by staff, `events` by services. Empty: this
    service published it for itself."""
    user_id: str = field(default="", kw_only=True)
    """The broker user, validated by the broker. Empty: not given."""

    @property
    def is_ourselves(self) -> bool:
        """Whether this service published it to its own queue, from a row of its own."""
        return self.exchange == ""

    @property
    def is_service(self) -> bool:
        """Whether it is this service or another of ours."""
        return self.exchange in ("", EVENTS)

    @property
    def is_producer(self) -> bool:
        """Whether it came from outside: through `orders`, or through an exchange of the host's that is bound to it."""
        return self.exchange not in ("", COMMANDS, EVENTS)

    @property
    def headers(self) -> dict[str, str | int]:
        """The headers that tell `sender_of`, for a message on our own exchanges."""
        named = {_EXCHANGE: self.exchange, _USER: self.user_id}
        return {name: value for name, value in named.items() if value}


OURSELVES = Sender()


def sender_of(delivery: Delivery) -> Sender:
    """Who first sent a delivery."""
    if is_detour(delivery.exchange):
        return noted(delivery)
    return _sender(delivery.exchange, delivery.user_id)


def noted(delivery: Delivery) -> Sender:
    """Who first sent it, by its headers alone: only for what nobody but us can have published."""
    exchange, user_id = delivery.headers.get(_EXCHANGE), delivery.headers.get(_USER)
    return _sender(str(exchange or ""), str(user_id or ""))


@lru_cache
def _sender(exchange: str, user_id: str) -> Sender:
    """A sender. Cached: there are few, and each delivery is asked several times."""
    return Sender(exchange, user_id=user_id)


def is_note(header: str) -> bool:
    """Whether a header is one of these, which are never inherited."""
    return header in (_EXCHANGE, _USER)
