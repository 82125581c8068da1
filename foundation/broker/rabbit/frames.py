"""Messages as AMQP frames: what pika's `basic_publish` sends, for a third of its time.

It encodes anew what is the same for many messages, and hands each frame to the system alone.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import pika
from pika.channel import Channel
from pika.frame import Body, Header, Method

from foundation.broker import Message

_CHUNK = 65_536
"""Bytes to send at once; what the system does not take at once is copied each time."""
_OVERHEAD = 8
"""Bytes of a frame beside its payload (AMQP 0-9-1, section 4.2.3)."""


def publish(channel: Channel, messages: Iterable[Message], user_id: str | None) -> None:
    """Publish messages, persistent, in their order. The broker validates `user_id`."""
    chunk, size = [], 0
    for frame in _frames(channel, messages, user_id):
        chunk.append(frame)
        size += len(frame)
        if size >= _CHUNK:
            _send(channel, chunk)
            chunk, size = [], 0
    if chunk:
        _send(channel, chunk)


def _send(channel: Channel, frames: list[bytes]) -> None:
    channel.connection._output_marshaled_frames([b"".join(frames)])  # noqa: SLF001  # each of its items is a system call


def _frames(channel: Channel, messages: Iterable[Message], user_id: str | None) -> Iterator[bytes]:
    number, room = channel.channel_number, channel.connection.params.frame_max - _OVERHEAD
    for message in messages:
        properties = pika.BasicProperties(
            content_type=message.content_type,
            headers=dict(message.headers) or None,
            delivery_mode=2,
            message_id=message.message_id or None,
            correlation_id=message.correlation_id or None,
            type=message.type or None,
            user_id=user_id,
        )
        yield _address(number, message.exchange, message.routing_key, message.mandatory)
        yield Header(number, len(message.body), properties).marshal()
        for start in range(0, len(message.body), room):
            yield Body(number, message.body[start : start + room]).marshal()


@lru_cache(maxsize=1024)
def _address(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    publish = pika.spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    encoded: bytes = Method(channel, publish).marshal()
    return encoded
