"""Who sent a message: the broker's word for it, kept on every detour that we make it take.

The broker lets nobody set another user's `user_id` on what he publishes (RabbitMQ documentation, "Validated
User-ID"). What we deliver again is published by us, and would bear our own; so who first sent it travels in headers.
Those are believed on our own ways only: a producer may write any header, but not to those exchanges.
"""

from dataclasses import dataclass, field

from foundation.broker import Delivery
from foundation.broker.delay import is_detour
from foundation.broker.topology import COMMANDS, EVENTS

_EXCHANGE = "sitecrew-exchange"
_USER = "sitecrew-user-id"


@dataclass(frozen=True)
class Sender:
    """Who first published a message."""

    exchange: str = ""
    """To which exchange: `orders` is the producers', `commands` staff's, `events` the services'. Empty: this service
    woke itself."""
    user_id: str = field(default="", kw_only=True)
    """As which user of the broker, which vouches for it. Empty: he did not say."""

    @property
    def is_ourselves(self) -> bool:
        """Whether this service put it into its own queue, from a row of its own."""
        return self.exchange == ""

    @property
    def is_producer(self) -> bool:
        """Whether it came from outside: by `orders`, or by an exchange of the host's that leads there."""
        return self.exchange not in ("", COMMANDS, EVENTS)

    @property
    def headers(self) -> dict[str, str | int]:
        """What tells `sender_of` so, on a message that goes on our own ways."""
        named = {_EXCHANGE: self.exchange, _USER: self.user_id}
        return {name: value for name, value in named.items() if value}


OURSELVES = Sender()


def sender_of(delivery: Delivery) -> Sender:
    """Who first sent what was delivered."""
    if is_detour(delivery.exchange):
        return noted(delivery)
    return Sender(delivery.exchange, user_id=delivery.user_id)


def noted(delivery: Delivery) -> Sender:
    """Who first sent it, by its headers alone: for what nobody but us can have published."""
    exchange, user_id = delivery.headers.get(_EXCHANGE), delivery.headers.get(_USER)
    return Sender(str(exchange or ""), user_id=str(user_id or ""))


def is_note(header: str) -> bool:
    """Whether a header is one of these, which are never inherited."""
    return header in (_EXCHANGE, _USER)
