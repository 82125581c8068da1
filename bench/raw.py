"""Plain pika: the baseline that everything is compared with, and the driver that feeds every contestant.

    python -m bench.raw stage FROM TO      one of three bare stages: consume, publish, acknowledge
    python -m bench.raw service NAME       what one of Sitecrew's services consumes and publishes for an order, bare

The broker's address is in BENCH_AMQP_URL.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import pika
from pika.channel import Channel

from foundation.errors import SitecrewError

PREFETCH = 400
_WINDOW = 1000
"""How many of the driver's messages may wait for their confirms at a time."""
PERSISTENT = 2

STAGES = ("raw.1", "raw.2", "raw.3", "raw.4")
QUORUM = {"x-queue-type": "quorum"}

# For each service: the queues that it consumes, and what it publishes for each message, for an order that is installed
# at once. It runs on Sitecrew's own topology, so each message reaches the same queues as in production.
HOPS: dict[str, dict[str, dict[str, tuple[tuple[str, str], ...]]]] = {
    "order-intake": {
        "intake.orders": {
            "order.placed.v1": (
                ("events", "account.created.v1"),
                ("events", "install.staged.v1"),
                ("delay.deliver", "installer-now"),
            ),
        },
        "intake.installs": {},
    },
    "installer": {
        "installer.staged": {},
        "installer.now": {
            "installer-now": (("events", "install.started.v1"), ("events", "install.completed.v1")),
        },
        "installer.mails": {},
    },
    "mailer": {"mailer.installs": {"install.completed.v1": (("events", "mail.sent.v1"),)}},
}


class Message(NamedTuple):
    exchange: str
    key: str
    body: bytes
    properties: pika.BasicProperties = pika.BasicProperties(delivery_mode=PERSISTENT)


class Link:
    """One connection, driven by its own loop, that publishes with confirms. Nothing waits for a single one."""

    def __init__(self, url: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = 0  # the loop stands still between two runs
        self.connection = pika.SelectConnection(
            self._parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=self._broken,
            on_close_callback=self._broken,
        )
        self.channel: Channel
        self._published = 0
        self._confirmed = 0
        self._early: set[int] = set()

    def publish(self, message: Message) -> int:
        """Publish a message; return the number that its confirm will have."""
        self.channel.basic_publish(message.exchange, message.key, message.body, message.properties)
        self._published += 1
        return self._published

    @property
    def unconfirmed(self) -> int:
        return self._published - self._confirmed - len(self._early)

    def _opened(self, channel: Channel) -> None:
        self.channel = channel
        channel.add_on_close_callback(self._broken)
        channel.confirm_delivery(self._answered, callback=lambda _frame: self.ready())

    def ready(self) -> None:
        """Called once the channel can be used."""
        raise NotImplementedError

    def confirmed(self, up_to: int) -> None:
        """Called when all messages up to this number are confirmed."""
        raise NotImplementedError

    def _answered(self, frame: Any) -> None:
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            raise SitecrewError("the broker rejected a message")
        number = frame.method.delivery_tag
        if frame.method.multiple:
            self._confirmed = max(self._confirmed, number)
            self._early = {early for early in self._early if early > number}
        else:
            self._early.add(number)
        while self._confirmed + 1 in self._early:
            self._confirmed += 1
            self._early.discard(self._confirmed)
        self.confirmed(self._confirmed)

    def _broken(self, _: Any, reason: object) -> None:
        raise SitecrewError(f"the broker closed the connection: {reason}")


class Stage(Link):
    """Consumes queues, publishes what follows, and acknowledges once that is confirmed; many deliveries at a time."""

    def __init__(
        self, url: str, queues: Iterable[str], follow: Callable[[str, str], Sequence[tuple[str, str]]]
    ) -> None:
        super().__init__(url)
        self._queues, self._follow = queues, follow
        self._waiting: deque[tuple[int, int]] = deque()  # a delivery's tag, and the last message published for it

    def ready(self) -> None:
        self.channel.basic_qos(prefetch_count=PREFETCH, global_qos=False)
        for queue in self._queues:
            self.channel.basic_consume(queue, lambda _, method, __, body, queue=queue: self._take(queue, method, body))

    def _take(self, queue: str, method: Any, body: bytes) -> None:
        last = 0
        for exchange, key in self._follow(queue, method.routing_key):
            last = self.publish(Message(exchange, key, body))
        self._waiting.append((method.delivery_tag, last or self._published))
        if not self.unconfirmed:
            self.confirmed(self._published)

    def confirmed(self, up_to: int) -> None:
        done = 0
        while self._waiting and self._waiting[0][1] <= up_to:
            done, _ = self._waiting.popleft()
        if done:
            self.channel.basic_ack(done, multiple=True)


Seen = Callable[[pika.BasicProperties, bytes], None]


class Driver(Link):
    """Publishes messages and receives their outcomes."""

    def __init__(self, url: str, outcomes: str, healthy: Callable[[], None]) -> None:
        """`outcomes` is the queue of the outcomes; `healthy` raises once waiting is pointless."""
        self._closing = False
        super().__init__(url)
        self._queue, self._healthy = outcomes, healthy
        self._source: Iterator[Message] = iter(())
        self.exhausted = True
        """Whether all messages have been published; `run` returns once they are also confirmed."""
        self._per_second = 0.0
        self._seen: Seen | None = None
        self._until: Callable[[], bool] | None = None
        self._began = 0.0
        self._sent = self._received = self._acknowledged = 0
        self.connection.ioloop.start()

    def run(
        self,
        messages: Iterable[Message],
        *,
        seen: Seen | None = None,
        until: Callable[[], bool] | None = None,
        per_second: float = 0,
        seconds: float = 600,
    ) -> float:
        """Publish messages and receive their outcomes; return the seconds from the first one published to the last one
        received.

        Ends when as many outcomes as messages have come, or when `until` is true. Calls `seen` for each outcome.
        `per_second` is the pace; 0 publishes as fast as confirms come. Raises what `healthy` raises, and SitecrewError
        on timeout.
        """
        self._source, self.exhausted = iter(messages), False
        self._seen, self._until, self._per_second = seen, until, per_second
        self._sent = self._received = self._acknowledged = 0
        self._began = perf_counter()
        self._watch(self._began + seconds)
        self._send()
        self.connection.ioloop.start()
        self.connection.ioloop.remove_timeout(self._timer)
        return perf_counter() - self._began

    def close(self) -> None:
        self._closing = True
        self.connection.close()
        self.connection.ioloop.start()

    def _broken(self, connection: Any, reason: object) -> None:
        if not self._closing:
            super()._broken(connection, reason)
        self.connection.ioloop.stop()

    def ready(self) -> None:
        self.channel.basic_qos(prefetch_count=PREFETCH)
        self.channel.basic_consume(self._queue, self._receive, callback=lambda _frame: self.connection.ioloop.stop())

    def confirmed(self, up_to: int) -> None:
        if not self._per_second:
            self._send()
        self._stop_if_done()

    def _send(self) -> None:
        due = (perf_counter() - self._began) * self._per_second if self._per_second else float("inf")
        while not self.exhausted and self.unconfirmed < _WINDOW and self._sent <= due:
            if (message := next(self._source, None)) is None:
                self.exhausted = True
                return
            self.publish(message)
            self._sent += 1
        if self._per_second and not self.exhausted:
            self.connection.ioloop.call_later(0.002, self._send)

    def _receive(self, _channel: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._received += 1
        if self._seen:
            self._seen(properties, body)
        if self._received - self._acknowledged >= PREFETCH // 4:
            self._acknowledge(method.delivery_tag)
        self._tag = method.delivery_tag
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        enough = self._until() if self._until else self.exhausted and self._received >= self._sent
        if enough and not self.unconfirmed:
            if self._received > self._acknowledged:
                self._acknowledge(self._tag)
            self.connection.ioloop.stop()

    def _acknowledge(self, tag: int) -> None:
        self.channel.basic_ack(tag, multiple=True)
        self._acknowledged = self._received

    def _watch(self, ends: float) -> None:
        if self._closing:
            return
        self._healthy()
        if perf_counter() > ends:
            raise SitecrewError(f"of {self._sent} messages, {self._received} outcomes came in time")
        self._timer = self.connection.ioloop.call_later(1, lambda: self._watch(ends))


def prepared(url: str, prepare: Callable[[Channel], object]) -> None:
    """Declare what a run needs."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    prepare(connection.channel())
    connection.close()


def main(kind: str, *names: str) -> int:
    url = os.environ["BENCH_AMQP_URL"]
    if kind == "stage":
        source, target = names
        stage = Stage(url, [source], lambda _queue, _key: [("", target)])
    else:
        service = HOPS[names[0]]
        stage = Stage(url, service, lambda queue, key: service[queue].get(key, ()))
    stage.connection.ioloop.start()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
