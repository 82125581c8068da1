"""What can be sent at all. One message beyond these limits makes RabbitMQ close the channel or the
connection, which holds up every other message on it, again with each attempt.

AMQP 0-9-1, sections 2.3.5.2 (a content header is one frame; RabbitMQ's are 128 KiB) and 4.2.5.3
(short strings).
"""

from foundation.broker import Message
from foundation.broker.topology import Topology

MAX_BYTES = 262_144
"""The largest body that is read. An order has some 500 bytes; no event of ours is larger than this."""

_NAME_BYTES = 255
_HEADERS_BYTES = 65_536
_NUMBERS = range(-(2**63), 2**63)


def can_be_sent(message: Message, topology: Topology) -> bool:
    """Whether every name fits, the headers fit, and the exchange is one that we declare (or the
    nameless one, which every broker has)."""
    names = (
        message.exchange,
        message.routing_key,
        message.message_id,
        message.type,
        message.correlation_id,
        message.content_type,
    )
    together = "".join(names)  # usually so short that each must fit, which is quick to see
    try:
        fit = (together.isascii() and len(together) <= _NAME_BYTES) or all(map(_fits, names))
        return fit and _headers_fit(message) and topology.has_exchange(message.exchange)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _fits(name: str) -> bool:
    return len(name.encode()) <= _NAME_BYTES


def _headers_fit(message: Message) -> bool:
    size = 0
    for name, value in message.headers.items():
        if isinstance(value, int) and value not in _NUMBERS:
            return False
        bytes_of_name = len(name.encode())
        size += bytes_of_name + (len(value.encode()) if isinstance(value, str) else 8)
        if bytes_of_name > _NAME_BYTES or size > _HEADERS_BYTES:
            return False
    return True
