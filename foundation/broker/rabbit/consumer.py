"""Consuming from RabbitMQ."""

import itertools
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty
from queue import Queue as Waiting
from time import monotonic
from typing import Any

from foundation.broker import Delivery
from foundation.broker.limits import MAX_BYTES
from foundation.broker.rabbit.delivery import delivery_of
from foundation.broker.rabbit.link import Link, Nodes

_epochs = itertools.count(1)


class RabbitConsumer:
    """Deliveries of one queue, or of a private one bound to what is watched."""

    def __init__(
        self, broker: Nodes, queue: str, prefetch: int, watched: tuple[str, Sequence[str]] | None = None
    ) -> None:
        self.ready = threading.Event()
        self._queue = queue
        self._prefetch = prefetch
        self._allowed = prefetch
        self._more = ""
        """The consumer tag under which more than the prefetch is taken."""
        self._watched = watched
        # Not a SimpleQueue: where another thread is quicker, its get may outlast every timeout (CPython 3.11).
        self._arrived: Waiting[Delivery | None] = Waiting()
        self._woken = False
        self._unsettled: dict[int, None] = {}
        self._epoch = 0
        self._channel: Any = None
        self._careful = False
        """Whether one is taken at a time."""
        self.link = Link(broker, queue or "watch", self._opened, self._closed)

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        taken: list[Delivery] = []
        ends = monotonic() + timeout
        with suppress(Empty):
            while len(taken) < limit:
                delivery = self._arrived.get(timeout=max(0.0, ends - monotonic()))
                if delivery is None:
                    self._woken = False
                elif delivery.epoch == self._epoch:
                    taken.append(delivery)
                if delivery is None or taken:
                    ends = 0.0  # what has arrived is still taken, but nothing more is waited for
        return taken

    def interrupt(self) -> None:
        if not self._woken:  # many wakes are one: each is a turn of somebody's loop
            self._woken = True
            self._arrived.put(None)

    def allow(self, prefetch: int) -> None:
        if prefetch != self._allowed:
            self._allowed = prefetch
            self.link.call(self._adjust)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.link.call(partial(self._acknowledge, deliveries))

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.link.call(partial(self._reject, deliveries))

    def close(self) -> None:
        self.link.close()

    def _closed(self) -> None:
        self._epoch = 0  # what has arrived and was not taken is the broker's again

    def _opened(self, channel: Any) -> None:
        self._epoch = next(_epochs)
        self._unsettled = {}
        self._channel = channel
        self._more = ""
        self._careful = self._watched is None and max(self._prefetch, self._allowed) > 1
        prefetch = 1 if self._careful else self._prefetch
        channel.basic_qos(prefetch_count=prefetch, callback=lambda _: self._subscribe(channel))

    def _subscribe(self, channel: Any) -> None:
        if self._watched is None:
            self._consume(channel, self._queue)
        else:
            channel.queue_declare("", exclusive=True, callback=partial(self._bind, channel))

    def _bind(self, channel: Any, declared: Any) -> None:
        exchange, patterns = self._watched or ("", ())
        for pattern in patterns:
            channel.queue_bind(declared.method.queue, exchange, pattern)
        self._consume(channel, declared.method.queue)

    def _consume(self, channel: Any, queue: str) -> str:
        tag: str = channel.basic_consume(
            queue,
            partial(self._received, self._epoch),
            auto_ack=self._watched is not None,
            callback=lambda _: self.ready.set(),
        )
        return tag

    def _received(self, epoch: int, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if self._watched is None:
            self._unsettled[method.delivery_tag] = None
            self._widen(channel, method.redelivered)
        delivery = delivery_of(self._queue, method, properties, body[:MAX_BYTES], epoch)
        self._arrived.put(replace(delivery, size=len(body)) if len(body) > MAX_BYTES else delivery)

    def _widen(self, channel: Any, redelivered: bool) -> None:
        """Raise the prefetch to its maximum once a first delivery has come."""
        if redelivered or not self._careful:
            return
        self._careful = False
        # A consumer keeps the prefetch that it began with, and what is on its way to one that is cancelled would be
        # handed out for nothing. So there is another beside the one that takes one at a time.
        if self._prefetch > 1:
            channel.basic_qos(prefetch_count=self._prefetch - 1)
            self._consume(channel, self._queue)
        self._adjust()

    def _adjust(self) -> None:
        """Have one consumer more for what is allowed beyond the prefetch. Cancelling that is rare, and what is on its
        way to it then counts as handed out before."""
        more = self._allowed - self._prefetch
        if self._careful or not self._channel.is_open:
            return
        if more > 0 and not self._more:
            self._channel.basic_qos(prefetch_count=more)
            self._more = self._consume(self._channel, self._queue)
        elif more <= 0 and self._more:
            self._channel.basic_cancel(self._more)
            self._more = ""

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        tags = {delivery.tag for delivery in deliveries if delivery.epoch == self._epoch}
        if not self._channel.is_open:
            return
        if leading := self._leading(tags):
            self._channel.basic_ack(leading, multiple=True)
        for tag in sorted(tags):
            if self._unsettled.pop(tag, tag) is None:
                self._channel.basic_ack(tag)

    def _reject(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.epoch == self._epoch and self._channel.is_open and delivery.tag in self._unsettled:
                del self._unsettled[delivery.tag]
                self._channel.basic_reject(delivery.tag, requeue=False)

    def _leading(self, tags: set[int]) -> int:
        """The oldest unsettled deliveries, as far as all are in `tags`: one frame settles them."""
        last = 0
        while self._unsettled and (oldest := next(iter(self._unsettled))) in tags:
            del self._unsettled[oldest]
            tags.discard(oldest)
            last = oldest
        return last
