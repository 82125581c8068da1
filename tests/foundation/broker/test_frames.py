"""What we send without pika's `basic_publish` is, byte for byte, what that sends."""

from collections.abc import Iterator

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.channel import Channel

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
