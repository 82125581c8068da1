"""One queue in memory: who waits in it, and who is served from it."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import Protocol

from foundation.broker import Delivery, Message, name_of
from foundation.broker.topology import Queue


@dataclass(slots=True, eq=False)
class Held:
    """A message in a queue, or handed out of it and not settled."""

    message: Message
    place: int
    """Its place in the order of arrival, which it gets back when it returns."""
    since: datetime
    user_id: str = ""
    redeliveries: int = 0

    def delivery(self, queue: str, tag: int, epoch: int) -> Delivery:
        """As a consumer sees it, with the count that quorum queues add from the second time on."""
        counted = {"x-delivery-count": self.redeliveries} if self.redeliveries else {}
        return Delivery(
            queue=queue,
            body=self.message.body,
            content_type=self.message.content_type,
            message_id=self.message.message_id,
            type=self.message.type,
            headers={**self.message.headers, **counted},
            redeliveries=self.redeliveries,
            tag=tag,
            epoch=epoch,
            exchange=self.message.exchange,
            routing_key=self.message.routing_key,
            user_id=self.user_id,
        )


class Served(Protocol):
    """What takes messages from a line as long as it has room."""

    @property
    def has_room(self) -> bool: ...

    def receive(self, held: Held) -> None: ...


@dataclass(eq=False)
class Line:
    """A queue of the topology, or with `temporary` one that goes when its consumer goes."""

    queue: Queue
    temporary: bool = False
    waiting: deque[Held] = field(default_factory=deque)
    consumers: deque[Served] = field(default_factory=deque)

    def due(self) -> datetime | None:
        """When the first message's time is up; all have the same lifetime, so none is due earlier."""
        if not self.waiting:
            return None
        lifetime = int(self.queue.arguments.get("x-message-ttl", 0))
        return self.waiting[0].since + timedelta(milliseconds=lifetime) if lifetime else None

    def join(self, held: Held) -> None:
        self.waiting.append(held)
        self.serve()

    def take_back(self, returned: Iterable[Held]) -> list[Held]:
        """Let what was handed out stand where it stood. Returned are those over the delivery limit."""
        limit = int(self.queue.arguments.get("x-delivery-limit", 0)) or inf
        kept: list[Held] = []
        spent: list[Held] = []
        for held in returned:
            held.redeliveries += 1
            (spent if held.redeliveries > limit else kept).append(held)
        self.waiting = deque(sorted((*kept, *self.waiting), key=lambda held: held.place))
        self.serve()
        return spent

    def pick(self, names: Iterable[str]) -> list[str]:
        """Remove as many messages of each name as it is given, from the head; the names that were there."""
        wanted, picked, left = Counter(names), [], deque[Held]()
        for held in self.waiting:
            name = name_of(held.message.message_id, held.message.body)
            if wanted[name]:
                wanted[name] -= 1
                picked.append(name)
            else:
                left.append(held)
        self.waiting = left
        return picked

    def serve(self) -> None:
        """Hand out what waits, to the consumers in turn, as far as they have room."""
        while self.waiting and (consumer := self._next_with_room()):
            consumer.receive(self.waiting.popleft())

    def _next_with_room(self) -> Served | None:
        for _ in range(len(self.consumers)):
            self.consumers.rotate(-1)
            if self.consumers[-1].has_room:
                return self.consumers[-1]
        return None
