"""What we send and read without pika is, byte for byte, what pika would send and read."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame
from pika.channel import Channel
from pika.spec import Basic

from foundation.broker import Message
from foundation.broker.rabbit import frames


class Recorder(pika.SelectConnection):  # type: ignore[misc]  # pika is untyped
    """A connection that keeps what it is to send, in the smallest frames that AMQP allows."""

    def __init__(self) -> None:
        super().__init__(pika.ConnectionParameters(frame_max=4096), internal_connection_workflow=False)
        self._body_max_length = self._get_body_frame_max_length()
        self.sent: list[bytes] = []

    def _adapter_emit_data(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    connection = Recorder()
    channel = Channel(connection, 1, lambda _: None)
    channel._set_state(channel.OPEN)
    yield channel
    connection.ioloop.close()


def sent_by(channel: Channel) -> list[bytes]:
    sent: list[bytes] = channel.connection.sent
    channel.connection.sent = []
    return sent


def basic_publish(channel: Channel, message: Message, user_id: str | None) -> None:
    properties = pika.BasicProperties(
        content_type=message.content_type,
        headers=dict(message.headers) or None,
        delivery_mode=2,
        message_id=message.message_id or None,
        correlation_id=message.correlation_id or None,
        type=message.type or None,
        user_id=user_id,
    )
    channel.basic_publish(message.exchange, message.routing_key, message.body, properties, message.mandatory)


NAMES = st.text(max_size=60)
MESSAGES = st.builds(
    Message,
    exchange=NAMES,
    routing_key=NAMES,
    body=st.binary(max_size=50) | st.integers(4000, 9000).map(bytes),
    message_id=NAMES,
    type=NAMES,
    correlation_id=NAMES,
    content_type=NAMES,
    headers=st.dictionaries(NAMES, NAMES | st.integers(-(2**63), 2**63 - 1)),
    mandatory=st.booleans(),
)


@given(st.lists(MESSAGES), NAMES | st.none())
def test_the_bytes_are_those_of_basic_publish(channel: Channel, messages: list[Message], user_id: str | None) -> None:
    for message in messages:
        basic_publish(channel, message, user_id)
    theirs = sent_by(channel)
    frames.publish(channel, messages, user_id)
    assert b"".join(sent_by(channel)) == b"".join(theirs)


def test_many_small_messages_are_sent_at_once_and_large_ones_in_parts(channel: Channel) -> None:
    frames.publish(channel, [Message("events", "x", bytes(500))] * 100, None)
    assert len(sent_by(channel)) == 1
    frames.publish(channel, [Message("events", "x", bytes(200_000))] * 3, None)
    assert max(map(len, sent_by(channel))) < 70_000


class Reader(frames.Connection):
    """A connection that is given what it reads, and keeps what its channel made of that."""

    def __init__(self) -> None:
        super().__init__(pika.ConnectionParameters(), internal_connection_workflow=False)
        self.seen: list[object] = []
        channel = Channel(self, 1, lambda _: None)
        channel._set_state(channel.OPEN)
        channel._add_callbacks()
        channel._consumers["mine"] = lambda _, *content: self.seen.append(content)
        channel._cancelled.add("cancelled")
        channel.add_on_return_callback(lambda _, *content: self.seen.append(content))
        for kind in (Basic.Ack, Basic.Nack):
            self.callbacks.add(1, kind, lambda frame: self.seen.append(frame.method), one_shot=False)
        self._channels[1] = channel

    def _adapter_emit_data(self, data: bytes) -> None:
        self.seen.append(data)


class Ahead(Reader):
    """Takes confirms as a publisher does."""

    def confirmed(self, number: int, multiple: bool) -> None:
        self.seen.append(Basic.Ack(number, multiple))


class Pikas(Reader):
    """Leaves everything to pika."""

    def _read_ahead(self, at: int) -> int:
        return at


SHORT = st.binary(max_size=20)
PROPERTIES = st.builds(
    pika.BasicProperties,
    content_type=SHORT | st.none(),
    content_encoding=SHORT | st.none(),
    headers=st.dictionaries(NAMES, NAMES | st.integers(-(2**63), 2**63 - 1)) | st.none(),
    delivery_mode=st.none() | st.just(2),
    priority=st.none() | st.just(3),
    correlation_id=SHORT | st.none(),
    reply_to=SHORT | st.none(),
    expiration=SHORT | st.none(),
    message_id=SHORT | st.none(),
    timestamp=st.none() | st.integers(0, 2**40),
    type=SHORT | st.none(),
    user_id=SHORT | st.none(),
    app_id=SHORT | st.none(),
    cluster_id=SHORT | st.none(),
)
NUMBERS = st.integers(0, 2**64 - 1)
CONTENTS = st.tuples(PROPERTIES, st.binary(max_size=50) | st.integers(4000, 9000).map(bytes))
DELIVERIES = st.tuples(
    st.builds(Basic.Deliver, st.sampled_from(["mine", "cancelled", "unknown"]), NUMBERS, st.booleans(), SHORT, SHORT),
    CONTENTS,
)
RETURNS = st.tuples(st.builds(Basic.Return, st.just(312), SHORT, SHORT, SHORT), CONTENTS)
ANSWERS = st.tuples(st.builds(Basic.Ack, NUMBERS, st.booleans()) | st.builds(Basic.Nack, NUMBERS), st.none())


def frames_of(what: tuple[Any, Any], *, heartbeat_after: int | None) -> bytes:
    method, content = what
    parts: list[Any] = [frame.Method(1, method)]
    if content:
        properties, body = content
        parts.append(frame.Header(1, len(body), properties))
        parts += [frame.Body(1, body[start : start + 4088]) for start in range(0, len(body), 4088)]
    if heartbeat_after is not None:
        parts.insert(heartbeat_after, frame.Heartbeat())
    return b"".join(part.marshal() for part in parts)


READ = st.builds(frames_of, DELIVERIES | RETURNS | ANSWERS, heartbeat_after=st.none() | st.integers(0, 4))


def read_by(reader: Reader, read: bytes, cuts: list[int]) -> list[object]:
    error: object = None
    try:
        for start, end in pairwise([0, *sorted(cut % (len(read) + 1) for cut in cuts), len(read)]):
            reader._on_data_available(read[start:end])
    except Exception as raised:  # noqa: BLE001  # whatever it is, pika has to raise the same
        error = type(raised)  # its text may quote how much was looked at
    reader.ioloop.close()
    # Where a fault is found, pika has taken the frames before it from the buffer.
    left = [reader.bytes_received, reader._frame_buffer] if error is None else []
    return [*reader.seen, error, *left]


@given(st.lists(READ), st.lists(st.integers(0, 20_000)))
def test_what_is_read_ahead_of_pika_is_what_pika_would_read(read: list[bytes], cuts: list[int]) -> None:
    assert read_by(Ahead(), b"".join(read), cuts) == read_by(Pikas(), b"".join(read), cuts)


@given(st.lists(READ, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255))))
def test_what_is_damaged_is_refused_as_pika_would(read: list[bytes], damage: list[tuple[int, int]]) -> None:
    damaged = bytearray(b"".join(read))
    for place, value in damage:
        damaged[place % len(damaged)] = value
    assert read_by(Ahead(), bytes(damaged), []) == read_by(Pikas(), bytes(damaged), [])
