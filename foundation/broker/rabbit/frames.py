"""What passes in great numbers as AMQP frames, for a third of pika's time: messages, deliveries, and confirms.

Pika encodes anew what is the same for many messages, hands each frame to the system alone, and searches for callbacks
with each that it has read. It still does everything else.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from struct import Struct
from typing import Any

from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.data import encode_table
from pika.frame import Header, Method
from pika.spec import Basic, BasicProperties

from foundation.broker import Message

_CHUNK = 65_536
"""Bytes to send or read at once; what the system does not take at once is copied each time."""

# Frames, content headers and properties: AMQP 0-9-1, section 4.2. A frame's head is its type, channel and size.
_METHOD, _HEADER, _BODY = 1, 2, 3
_FRAME = Struct(">BHL")
_METHOD_FRAME = Struct(">BHLL")
_ACK_FRAME = Struct(">BHLLQBB")
_HEADER_FRAME = Struct(">BHLLQH")
_END = 0xCE
_OVERHEAD = _FRAME.size + 1
_CLASS = Basic.INDEX << 16


class Connection(SelectConnection):  # type: ignore[misc]  # pika has no types
    """A connection of one channel. `confirmed(tag, multiple)` gets the broker's confirms; its refusals go to what
    `confirm_delivery` was given."""

    confirmed: Callable[[int, bool], None] | None = None

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = _CHUNK  # noqa: SLF001  # instead of a system call for each 4 KiB
        super()._proto_connection_made(transport)

    def _read_frame(self) -> Any:
        at = 0
        while (end := self._read_ahead(at)) > at:
            at = end
        if at:
            self._trim_frame_buffer(at)
        return super()._read_frame()

    def _read_ahead(self, at: int) -> int:
        """Read a confirm or a delivery, if that comes at this place of the buffer and is there as a whole; return where
        it ends, else the place."""
        buffer: bytes = self._frame_buffer
        if len(buffer) < at + _ACK_FRAME.size:
            return at
        kind, number, size, method = _METHOD_FRAME.unpack_from(buffer, at)
        if kind != _METHOD or number not in self._channels:
            return at
        if method == Basic.Ack.INDEX and self.confirmed and _OVERHEAD + size == _ACK_FRAME.size:
            *_, tag, multiple, last = _ACK_FRAME.unpack_from(buffer, at)
            if last == _END:
                self.confirmed(tag, multiple & 1 == 1)
                return at + _ACK_FRAME.size
        if method == Basic.Deliver.INDEX and (content := _content(buffer, at + _OVERHEAD + size, number)):
            header, body, end = content
            deliver = Basic.Deliver().decode(buffer[at + _METHOD_FRAME.size : at + _FRAME.size + size])
            self._channels[number]._on_deliver(Method(number, deliver), header, body)  # noqa: SLF001
            return end
        return at


def _content(buffer: bytes, start: int, channel: int) -> tuple[Header, bytes, int] | None:
    """Return the content header and the body that begin at `start`, and where they end; None if they are not there
    yet, or the body is not exactly one frame."""
    if len(buffer) < start + _HEADER_FRAME.size:
        return None
    kind, number, size, of, length, _ = _HEADER_FRAME.unpack_from(buffer, start)
    at = start + _OVERHEAD + size
    end = at + _OVERHEAD + length
    if (kind, number, of) != (_HEADER, channel, _CLASS) or len(buffer) < end:
        return None
    if _FRAME.unpack_from(buffer, at) != (_BODY, number, length):
        return None
    if not buffer[start - 1] == buffer[at - 1] == buffer[end - 1] == _END:
        return None
    properties = BasicProperties().decode(buffer[start + _HEADER_FRAME.size - 2 : at - 1])
    return Header(number, length, properties), buffer[at + _FRAME.size : end - 1], end


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
        body = message.body
        yield _address(number, message.exchange, message.routing_key, message.mandatory)
        yield _header(number, message, user_id)
        for start in range(0, len(body), room):
            yield _frame(_BODY, number, body[start : start + room])


def _header(number: int, message: Message, user_id: str | None) -> bytes:
    flags, before, after = _shared(message.content_type, message.type, user_id)
    headers: list[bytes] = []
    ids = b""
    if message.headers:
        flags |= BasicProperties.FLAG_HEADERS
        encode_table(headers, dict(message.headers))
    if message.correlation_id:
        flags |= BasicProperties.FLAG_CORRELATION_ID
        ids = _short(message.correlation_id)
    if message.message_id:
        flags |= BasicProperties.FLAG_MESSAGE_ID
        ids += _short(message.message_id)
    properties = b"".join((before, *headers, b"\x02", ids, after))  # 2: persistent
    size = _HEADER_FRAME.size - _FRAME.size + len(properties)
    return b"%b%b\xce" % (_HEADER_FRAME.pack(_HEADER, number, size, _CLASS, len(message.body), flags), properties)


@lru_cache(maxsize=1024)
def _address(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    publish = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    encoded: bytes = Method(channel, publish).marshal()
    return encoded


@lru_cache(maxsize=1024)
def _shared(content_type: str, type: str, user_id: str | None) -> tuple[int, bytes, bytes]:
    """Return the flags and the properties that many messages share: those before and those after the others."""
    flags = BasicProperties.FLAG_CONTENT_TYPE | BasicProperties.FLAG_DELIVERY_MODE
    after = b""
    if type:
        flags |= BasicProperties.FLAG_TYPE
        after = _short(type)
    if user_id is not None:
        flags |= BasicProperties.FLAG_USER_ID
        after += _short(user_id)
    return flags, _short(content_type), after


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return b"%b%b\xce" % (_FRAME.pack(kind, channel, len(payload)), payload)
