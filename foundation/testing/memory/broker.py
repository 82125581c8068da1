"""The broker port, its publisher and its consumer, over lines and routes in memory."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from time import monotonic

from foundation.broker import Confirmation, Consumer, Delivery, Header, Message, Publisher
from foundation.broker.limits import MAX_BYTES, can_be_sent
from foundation.broker.topology import Binding, Queue, Topology
from foundation.broker.turns import Turns
from foundation.errors import ConfigurationError
from foundation.testing.memory.line import Held, Line
from foundation.testing.memory.routing import Routes

_numbers = itertools.count(1)


class MemoryBroker:
    """The broker port over a topology and a clock. Safe to use from several threads."""

    def __init__(self, topology: Topology, now: Callable[[], datetime]) -> None:
        self.topology = topology
        self.reconnections = 0
        self.missed = set[str]()
        self.changed = threading.Condition()
        """Guards everything here; notified when a consumer may find something."""
        self._now = now
        self._routes = Routes()
        self._lines: dict[str, Line] = {}
        self._places = itertools.count()
        self._opened: list[MemoryConsumer] = []

    @property
    def user(self) -> str:
        return "guest"

    def declare(self) -> bool:
        with self.changed:
            self.missed |= self.topology.copies - self._lines.keys()
            self._routes.declare(self.topology)
            for queue in self.topology.queues:
                if queue.name not in self._lines:
                    self._lines[queue.name] = Line(queue)
        return True

    def differences(self) -> list[str]:
        missing = [f"exchange {e.name}" for e in self.topology.exchanges if e.name not in self._routes]
        missing += [f"queue {q.name}" for q in self.topology.queues if q.name not in self._lines]
        return [f"{item} is missing; create it with `sitecrew topology declare`" for item in missing]

    def publisher(self, user_id: str = "guest") -> Publisher:
        """Declares the topology if it is not there, as RabbitMQ's does on its way back from trouble."""
        self.declare()
        return MemoryPublisher(self, user_id)

    def consumer(self, queue: str | Turns, prefetch: int) -> Consumer:
        """Declares the topology like a publisher; of a queue that is not in it nothing ever comes."""
        self.declare()
        if isinstance(queue, Turns):
            return MemoryTurns(self, queue, {name: self._consumer(name, prefetch) for name in queue.queues})
        return self._consumer(queue, prefetch)

    def _consumer(self, queue: str, prefetch: int) -> "MemoryConsumer":
        return MemoryConsumer(self, self._lines.get(queue) or Line(Queue(queue, {})), prefetch)

    def watch(self, exchange: str, *patterns: str) -> Consumer:
        self.declare()
        with self.changed:
            line = Line(Queue(f"watch.{next(_numbers)}", {}), temporary=True)
            self._lines[line.queue.name] = line
            self._routes.bind(Binding(exchange, line.queue.name, pattern) for pattern in patterns)
            return MemoryConsumer(self, line, prefetch=inf)

    def disconnected(self) -> list[str]:
        return []

    def lost_for(self) -> float:
        return 0

    def cut_off(self) -> list[str]:
        return []

    def depth(self, queue: str) -> int | None:
        with self.changed:
            self.expire()
            return len(self._lines[queue].waiting) if queue in self._lines else None

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        found = {queue: self.depth(queue) for queue in queues}
        return {queue: number for queue, number in found.items() if number is not None}

    def is_missing(self, queue: str) -> bool:
        with self.changed:
            return queue not in self._lines

    def consumers(self, queue: str) -> int:
        with self.changed:
            return len(self._line(queue).consumers)

    def browse(self, queue: str, limit: int) -> list[Delivery]:
        with self.changed:
            self.expire()
            heads = itertools.islice(self._line(queue).waiting, limit)
            return [held.delivery(queue, tag, epoch=0) for tag, held in enumerate(heads, 1)]

    def remove(self, queue: str, names: Sequence[str]) -> list[str]:
        with self.changed:
            self.expire()
            return self._line(queue).pick(names)

    def close(self) -> None:
        while self._opened:
            self._opened[-1].close()

    def expire(self) -> None:
        """Move on what has had its time, in the order in which it was up: a message that passes
        several queues while nobody looks stays in each of them as long as it should."""
        with self.changed:
            now = self._now()
            while (first := self._first_due()) and first[0] <= now:
                moment, line = first
                self._dead_letter(line, [line.waiting.popleft()], "expired", moment)

    def wait(self, seconds: float) -> None:
        """Wait for a change, at most so many seconds, and move what falls due meanwhile. To be
        called with `changed` held."""
        before, first = self._now(), self._first_due()
        until = min(seconds, max(0.0, (first[0] - before).total_seconds())) if first else seconds
        if not self.changed.wait(until) and self._now() == before:
            # A clock that stands still is turned by hand, and its `expire` notifies us.
            self.changed.wait(seconds - until)
        self.expire()

    def accept(self, message: Message, user_id: str) -> Confirmation:
        """Take one message from a publisher, who is this user."""
        with self.changed:
            self.expire()
            if not can_be_sent(message, self.topology):
                return Confirmation.REFUSED
            sent = message._replace(headers={name: _sent(value) for name, value in message.headers.items()})
            routed = self._put(sent, user_id, self._now())
            return Confirmation.CONFIRMED if routed or not message.mandatory else Confirmation.UNROUTABLE

    def attach(self, consumer: "MemoryConsumer", line: Line) -> None:
        """Serve a consumer from a line, in turn with the line's others."""
        with self.changed:
            self._opened.append(consumer)
            line.consumers.append(consumer)
            self.expire()
            line.serve()

    def detach(self, consumer: "MemoryConsumer", line: Line, unsettled: Iterable[Held]) -> None:
        """Serve it no longer, and take back what it leaves."""
        with self.changed:
            self._opened.remove(consumer)
            line.consumers.remove(consumer)
            self._dead_letter(line, line.take_back(unsettled), "delivery_limit", self._now())
            if line.temporary:
                del self._lines[line.queue.name]
                self._routes.unbind(line.queue.name)
            self.changed.notify_all()

    def bury(self, line: Line, rejected: Iterable[Held]) -> None:
        """Dead-letter what a consumer does not want."""
        with self.changed:
            self._dead_letter(line, rejected, "rejected", self._now())
            line.serve()
            self.changed.notify_all()

    def _line(self, queue: str) -> Line:
        if queue not in self._lines:
            raise ConfigurationError(f"there is no queue '{queue}'. See `sitecrew topology check`")
        return self._lines[queue]

    def _first_due(self) -> tuple[datetime, Line] | None:
        due = [(moment, line) for line in self._lines.values() if (moment := line.due())]
        return min(due, key=lambda pair: pair[0], default=None)

    def _dead_letter(self, line: Line, dead: Iterable[Held], reason: str, moment: datetime) -> None:
        exchange = line.queue.arguments.get("x-dead-letter-exchange")
        for held in dead if exchange is not None else ():
            death = {"exchange": held.message.exchange, "queue": line.queue.name, "reason": reason}
            first = {f"x-first-death-{name}": value for name, value in death.items()}
            moved = held.message._replace(exchange=str(exchange), headers={**first, **held.message.headers})
            self._put(moved, held.user_id, moment)

    def _put(self, message: Message, user_id: str, moment: datetime) -> bool:
        queues = [name for name in self._routes.queues(message.exchange, message.routing_key) if name in self._lines]
        for name in queues:
            self._lines[name].join(Held(message, next(self._places), moment, user_id))
        if queues:
            self.changed.notify_all()
        return bool(queues)


class MemoryPublisher:
    """Publishes at once: every outcome is known on return."""

    def __init__(self, broker: MemoryBroker, user_id: str) -> None:
        self._broker = broker
        self._user_id = user_id
        self._closed = False

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        if self._closed:
            return [Confirmation.UNKNOWN] * len(messages)
        return [self._broker.accept(message, self._user_id) for message in messages]

    def close(self) -> None:
        self._closed = True


class MemoryConsumer:
    """Deliveries of one line."""

    def __init__(self, broker: MemoryBroker, line: Line, prefetch: float) -> None:
        self._broker = broker
        self._line = line
        self._prefetch = prefetch
        self._allowed = prefetch
        self._epoch = next(_numbers)
        self._tags = itertools.count(1)
        self.arrived: deque[Delivery | None] = deque()
        """What it may take; None: it was interrupted."""
        self._unsettled: dict[int, Held] = {}
        self._careful = not line.temporary
        """Whether one is taken at a time."""
        self._ceased = False
        self._closed = False
        broker.attach(self, line)

    @property
    def has_room(self) -> bool:
        return not self._ceased and len(self._unsettled) < (1 if self._careful else self._allowed)

    def receive(self, held: Held) -> None:
        """Called by the line, for a consumer that has room."""
        tag = next(self._tags)
        if not self._line.temporary:  # a watcher settles nothing
            self._unsettled[tag] = held
        self._careful = self._careful and held.redeliveries > 0
        delivery = held.delivery(self._line.queue.name, tag, self._epoch)
        size = len(delivery.body)
        self.arrived.append(delivery._replace(body=delivery.body[:MAX_BYTES], size=size * (size > MAX_BYTES)))

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        ends = monotonic() + timeout
        with self._broker.changed:
            self._broker.expire()
            while not self.arrived and (rest := ends - monotonic()) > 0:
                self._broker.wait(rest)
            taken: list[Delivery] = []
            while self.arrived and len(taken) < limit:
                if (delivery := self.arrived.popleft()) is not None:
                    taken.append(delivery)
            return taken

    def interrupt(self) -> None:
        with self._broker.changed:
            if None not in self.arrived:
                self.arrived.append(None)
            self._broker.changed.notify_all()

    def allow(self, prefetch: int) -> None:
        with self._broker.changed:
            allowed, self._allowed = self._allowed, max(self._prefetch, prefetch)
            if self._allowed > allowed:
                self._line.serve()
                self._broker.changed.notify_all()

    def cease(self) -> None:
        with self._broker.changed:
            self._ceased = True

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        with self._broker.changed:
            for delivery in deliveries:
                if delivery.epoch == self._epoch:
                    self._unsettled.pop(delivery.tag, None)
            self._line.serve()
            self._broker.changed.notify_all()

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        with self._broker.changed:
            ours = [delivery.tag for delivery in deliveries if delivery.epoch == self._epoch]
            self._broker.bury(self._line, [self._unsettled.pop(tag) for tag in ours if tag in self._unsettled])

    def close(self) -> None:
        with self._broker.changed:
            if self._closed:
                return
            self._closed = True
            unsettled, self._unsettled = self._unsettled, {}
            self.arrived.clear()
            self._broker.detach(self, self._line, unsettled.values())


class MemoryTurns:
    """Deliveries of several lines, by turns."""

    def __init__(self, broker: MemoryBroker, turns: Turns, consumers: Mapping[str, MemoryConsumer]) -> None:
        self._broker = broker
        self._turns = turns
        self._consumers = consumers
        self._arrived = {queue: consumer.arrived for queue, consumer in consumers.items()}

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        ends = monotonic() + timeout
        with self._broker.changed:
            self._broker.expire()
            while not any(self._arrived.values()) and (rest := ends - monotonic()) > 0:
                self._broker.wait(rest)
            return [delivery for delivery in self._turns.take(self._arrived, limit) if delivery is not None]

    def interrupt(self) -> None:
        self._consumers[self._turns.queue].interrupt()

    def allow(self, prefetch: int) -> None:
        for consumer in self._consumers.values():
            consumer.allow(prefetch)

    def cease(self) -> None:
        for consumer in self._consumers.values():
            consumer.cease()

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        for queue, consumer in self._consumers.items():
            consumer.settle([delivery for delivery in deliveries if delivery.queue == queue])

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        for queue, consumer in self._consumers.items():
            consumer.reject([delivery for delivery in deliveries if delivery.queue == queue])

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()


def _sent(value: Header) -> Header:
    """A header's value as it comes out at the other end: a plain string or number."""
    return value.encode().decode() if isinstance(value, str) else value + 0
