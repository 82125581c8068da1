"""Consuming from RabbitMQ."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from typing import Any

from foundation.broker import Delivery
from foundation.broker.limits import MAX_BYTES
from foundation.broker.rabbit.delivery import delivery_of
from foundation.broker.rabbit.link import Link, Nodes
from foundation.broker.turns import Turns

_epochs = count(1)


@dataclass(eq=False)
class _Source:
    """One queue that is consumed."""

    queue: str
    careful: bool = False
    """Whether one is taken at a time."""
    first: str = ""
    """The consumer tag under which one is taken at a time."""
    more: str = ""
    """The consumer tag under which more than the prefetch is taken."""


class RabbitConsumer:
    """Deliveries of one queue, of several by turns, or of a private one bound to what is watched."""

    def __init__(
        self,
        broker: Nodes,
        turns: Turns,
        prefetch: int,
        watched: tuple[str, Sequence[str]] | None = None,
        *,
        one_active: bool = False,
    ) -> None:
        """`one_active`: the queue delivers to one consumer only (`x-single-active-consumer`)."""
        self.ready = threading.Event()
        self._turns = turns
        self._sources = {queue: _Source(queue) for queue in turns.queues}
        self._arrived: dict[str, deque[Delivery]] = {queue: deque() for queue in turns.queues}
        self._prefetch = prefetch
        self._allowed = prefetch
        self._watched = watched
        self._one_active = one_active
        self._read: list[Delivery] = []
        """Deliveries that the I/O thread has read in its current turn."""
        self._woken = False
        self._ceased = False
        self._changed = threading.Condition()
        """Held while what has arrived or `_woken` are changed."""
        self._unsettled: dict[int, None] = {}
        self._epoch = 0
        self._channel: Any = None
        self.link = Link(broker, turns.queue or "watch", self._opened, self._closed)

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: self._woken or any(self._arrived.values()), timeout)
            self._woken = False
            return self._turns.take(self._arrived, limit)

    def interrupt(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify()

    def allow(self, prefetch: int) -> None:
        if prefetch != self._allowed:
            self._allowed = prefetch
            self.link.call(self._adjust)

    def cease(self) -> None:
        self.link.call(self._cease)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.link.call(partial(self._acknowledge, deliveries))

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.link.call(partial(self._reject, deliveries))

    def close(self) -> None:
        self.link.close()

    def _closed(self) -> None:
        self._begin_epoch(0)

    def _begin_epoch(self, epoch: int) -> None:
        """What has arrived and was not taken is the broker's again."""
        self._epoch = epoch
        self._read = []
        with self._changed:
            for arrived in self._arrived.values():
                arrived.clear()

    def _opened(self, channel: Any) -> None:
        self._begin_epoch(next(_epochs))
        self._unsettled = {}
        self._channel = channel
        careful = self._watched is None and max(self._prefetch, self._allowed) > 1
        for source in self._sources.values():
            source.careful, source.more = careful, ""
        prefetch = 1 if careful else self._prefetch
        channel.basic_qos(prefetch_count=prefetch, callback=lambda _: self._subscribe(channel))

    def _subscribe(self, channel: Any) -> None:
        if self._ceased:
            return
        if self._watched is None:
            for source in self._sources.values():
                source.first = self._consume(channel, source, source.queue)
        else:
            channel.queue_declare("", exclusive=True, callback=partial(self._bind, channel))

    def _bind(self, channel: Any, declared: Any) -> None:
        exchange, patterns = self._watched or ("", ())
        for pattern in patterns:
            channel.queue_bind(declared.method.queue, exchange, pattern)
        self._consume(channel, self._sources[self._turns.queue], declared.method.queue)

    def _consume(self, channel: Any, source: _Source, queue: str) -> str:
        tag: str = channel.basic_consume(
            queue,
            partial(self._received, self._epoch, source),
            auto_ack=self._watched is not None,
            callback=lambda _: self.ready.set(),
        )
        return tag

    def _received(  # pika's own four, and two
        self, epoch: int, source: _Source, channel: Any, method: Any, properties: Any, body: bytes
    ) -> None:
        if self._watched is None:
            self._unsettled[method.delivery_tag] = None
            self._widen(channel, source, method.redelivered)
        if not self._read:
            channel.connection.ioloop.call_later(0, self._hand_over)
        delivery = delivery_of(source.queue, method, properties, body, epoch)
        large = len(body) > MAX_BYTES
        self._read.append(delivery._replace(body=body[:MAX_BYTES], size=len(body)) if large else delivery)

    def _hand_over(self) -> None:
        """Hand over what was read in one turn of the loop together: each wake of the thread that takes costs both."""
        with self._changed:
            for delivery in self._read:
                self._arrived[delivery.queue].append(delivery)
            self._changed.notify()
        self._read = []

    def _widen(self, channel: Any, source: _Source, redelivered: bool) -> None:
        """Raise the prefetch to its maximum once a first delivery has come."""
        if redelivered or self._ceased or not source.careful:
            return
        source.careful = False
        # A consumer keeps the prefetch that it began with, and what is on its way to one that is cancelled would be
        # handed out for nothing. So there is another beside the one that takes one at a time.
        if self._one_active:
            # The other would wait for ever. Nothing is on its way to the first: it has not settled its one delivery.
            channel.basic_qos(prefetch_count=self._prefetch)
            self._consume(channel, source, source.queue)
            channel.basic_cancel(source.first)
        elif self._prefetch > 1:
            channel.basic_qos(prefetch_count=self._prefetch - 1)
            self._consume(channel, source, source.queue)
        self._adjust_one(source)

    def _adjust(self) -> None:
        for source in self._sources.values():
            self._adjust_one(source)

    def _adjust_one(self, source: _Source) -> None:
        """Have one consumer more for what is allowed beyond the prefetch. Cancelling that is rare, and what is on its
        way to it then counts as handed out before."""
        more = self._allowed - self._prefetch
        if source.careful or self._ceased or self._channel is None or not self._channel.is_open:
            return
        if more > 0 and not source.more:
            self._channel.basic_qos(prefetch_count=more)
            source.more = self._consume(self._channel, source, source.queue)
        elif more <= 0 and source.more:
            self._channel.basic_cancel(source.more)
            source.more = ""

    def _cease(self) -> None:
        self._ceased = True
        if self._channel is not None and self._channel.is_open:
            for tag in self._channel.consumer_tags:
                self._channel.basic_cancel(tag)

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if not self._channel.is_open:
            return
        tags = self._unsettled.keys() & {delivery.tag for delivery in deliveries if delivery.epoch == self._epoch}
        oldest = list(takewhile(tags.__contains__, self._unsettled))
        if oldest:  # one frame settles them all
            self._channel.basic_ack(oldest[-1], multiple=True)
        for tag in sorted(tags.difference(oldest)):
            self._channel.basic_ack(tag)
        for tag in tags:
            del self._unsettled[tag]

    def _reject(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.epoch == self._epoch and self._channel.is_open and delivery.tag in self._unsettled:
                del self._unsettled[delivery.tag]
                self._channel.basic_reject(delivery.tag, requeue=False)
