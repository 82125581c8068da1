"""The window of unconfirmed messages: waiting, in flight, and with an outcome."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

from foundation.broker import Confirmation, Message

WIDTH = 1000
"""Unconfirmed messages in flight; beyond some hundreds a wider window gains little."""


@dataclass(eq=False)
class Batch:
    """The messages of one `publish` call, and their outcomes so far."""

    outcomes: list[Confirmation]
    remaining: int
    done: threading.Event = field(default_factory=threading.Event)

    def resolve(self, index: int, outcome: Confirmation) -> None:
        self.outcomes[index] = outcome
        self.remaining -= 1
        if self.remaining == 0:
            self.done.set()


@dataclass(slots=True, eq=False)
class _Item:
    message: Message
    batch: Batch
    index: int
    expires: float
    returned: bool = False


class Window:
    """Numbers messages as the broker does on a channel, from 1, and takes its answers by number.
    `submit` and `give_up` may be called from any thread, everything else from one."""

    def __init__(self) -> None:
        self._waiting: deque[_Item] = deque()
        self._unconfirmed: dict[int, _Item] = {}
        self._sequence = 0
        self._given_up = False
        self._lock = threading.Lock()
        """Held while the waiting messages are read or changed."""

    def submit(self, messages: Sequence[Message], timeout: float) -> Batch:
        """Queue messages that are sent within `timeout` seconds or not at all: their caller gives up then,
        and publishes again."""
        batch = Batch([Confirmation.UNKNOWN] * len(messages), len(messages))
        expires = monotonic() + timeout
        with self._lock:
            self._drop_expired()  # while there is no channel, nobody takes them
            self._waiting.extend(_Item(message, batch, index, expires) for index, message in enumerate(messages))
            if self._given_up:
                batch.done.set()
        return batch

    def reopen(self) -> None:
        """Start over on a new channel: what is unconfirmed may or may not have arrived, and is sent again
        first."""
        with self._lock:
            self._waiting.extendleft(reversed(self._unconfirmed.values()))
        self._unconfirmed = {}
        self._sequence = 0

    def give_up(self) -> None:
        """Release all callers, now and later: there will be no more answers."""
        with self._lock:
            self._given_up = True
            for item in (*self._waiting, *self._unconfirmed.values()):
                item.batch.done.set()

    def take(self) -> Iterator[Message]:
        """The messages to publish now, each as soon as it is numbered."""
        while len(self._unconfirmed) < WIDTH and (item := self._next()):
            self._sequence += 1
            self._unconfirmed[self._sequence] = item
            yield item.message

    def answer(self, number: int, outcome: Confirmation, *, multiple: bool) -> None:
        """The broker's confirm for one message, or for all up to it."""
        for answered in self._up_to(number) if multiple else [number] * (number in self._unconfirmed):
            item = self._unconfirmed.pop(answered)
            item.batch.resolve(item.index, Confirmation.UNROUTABLE if item.returned else outcome)

    def give_back(self, exchange: str, routing_key: str, message_id: str, body: bytes) -> None:
        """The broker returns the message itself, not its number, and confirms it right afterwards."""
        wanted = (exchange, routing_key, message_id, body)
        for item in self._unconfirmed.values():
            sent = item.message
            if (
                sent.mandatory
                and not item.returned
                and wanted == (sent.exchange, sent.routing_key, sent.message_id, sent.body)
            ):
                item.returned = True
                return

    def _next(self) -> _Item | None:
        with self._lock:
            self._drop_expired()
            return self._waiting.popleft() if self._waiting else None

    def _drop_expired(self) -> None:
        while self._waiting and self._waiting[0].expires < monotonic():
            self._waiting.popleft()

    def _up_to(self, number: int) -> list[int]:
        answered = []
        for candidate in self._unconfirmed:  # in the order of publishing
            if candidate > number:
                break
            answered.append(candidate)
        return answered
