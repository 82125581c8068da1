"""Publishing to RabbitMQ."""

from collections.abc import Sequence
from functools import partial
from itertools import compress
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker

from foundation.broker import Confirmation, Message
from foundation.broker.limits import can_be_sent
from foundation.broker.rabbit import frames
from foundation.broker.rabbit.link import Link, Nodes
from foundation.broker.window import Window


class RabbitPublisher:
    """Publishes through a window of unconfirmed messages."""

    def __init__(self, broker: Nodes) -> None:
        self._topology = broker.topology
        self._window = Window()
        self._channel: Any = None
        self._vouched = True
        """Whether the broker accepts our login name as `user_id`."""
        self.link = Link(broker, "publisher", self._opened, self._window.give_up)

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        fits = [can_be_sent(message, self._topology) for message in messages]
        batch = self._window.submit(list(compress(messages, fits)), timeout)
        if batch.remaining:
            self.link.call(self._pump)
            batch.done.wait(timeout)
        outcomes = iter(list(batch.outcomes))
        return [next(outcomes) if fit else Confirmation.REFUSED for fit in fits]

    def close(self) -> None:
        self.link.close()

    def _opened(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)
        channel.add_on_close_callback(self._channel_closed)
        channel.connection.confirmed = partial(self._answered, Confirmation.CONFIRMED)
        channel.confirm_delivery(self._refused, callback=lambda _: self._ready(channel))

    def _ready(self, channel: Any) -> None:
        self._window.reopen()
        self._channel = channel
        self._pump()

    def _channel_closed(self, _channel: object, reason: BaseException) -> None:
        # Where users come from a token or a certificate, the broker may have another name for us.
        if isinstance(reason, ChannelClosedByBroker) and "user_id property" in reason.reply_text:
            self._vouched = False

    def _pump(self) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        user_id = getattr(channel.connection.params.credentials, "username", None) if self._vouched else None
        frames.publish(channel, self._window.take(), user_id)

    def _refused(self, frame: Any) -> None:
        self._answered(Confirmation.REFUSED, frame.method.delivery_tag, frame.method.multiple)

    def _answered(self, outcome: Confirmation, number: int, multiple: bool) -> None:
        self._window.answer(number, outcome, multiple=multiple)
        self._pump()

    def _returned(self, _channel: object, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._window.give_back(method.exchange, method.routing_key, properties.message_id or "", body)
