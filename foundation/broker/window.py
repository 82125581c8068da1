"""The window of unconfirmed messages: waiting, in flight, and with an outcome."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat, takewhile
from time import monotonic

from foundation.broker import Confirmation, Message

WIDTH = 1000
"""Unconfirmed messages in flight; beyond some hundreds a wider window gains little."""


@dataclass(eq=False, slots=True)
class Batch:
    """The messages of one `publish` call, and their outcomes so far."""

    messages: Sequence[Message]
    expires: float
    outcomes: list[Confirmation]
    remaining: int
    done: threading.Event = field(default_factory=threading.Event)

    def resolve(self, index: int, outcome: Confirmation) -> None:
        self.outcomes[index] = outcome
        self.remaining -= 1
        if self.remaining == 0:
            self.done.set()


_Item = tuple[Batch, int]
"""A message: its batch, and its index there."""


class Window:
    """Numbers messages as the broker does on a channel, from 1, and takes its answers by number.
    `submit` and `give_up` may be called from any thread, everything else from one."""

    def __init__(self) -> None:
        self._waiting: deque[_Item] = deque()
        self._unconfirmed: dict[int, _Item] = {}
        self._returned: set[int] = set()
        self._sequence = 0
        self._given_up = False
        self._lock = threading.Lock()
        """Held while the waiting messages are read or changed."""

    def submit(self, messages: Sequence[Message], timeout: float) -> Batch:
        """Queue messages that are sent within `timeout` seconds or not at all: their caller gives up then,
        and publishes again."""
        count = len(messages)
        batch = Batch(messages, monotonic() + timeout, [Confirmation.UNKNOWN] * count, count)
        with self._lock:
            self._drop_expired()  # while there is no channel, nobody takes them
            self._waiting.extend(zip(repeat(batch), range(count)))
            if self._given_up:
                batch.done.set()
        return batch

    def reopen(self) -> None:
        """Start over on a new channel: what is unconfirmed may or may not have arrived, and is sent again
        first."""
        with self._lock:
            self._waiting.extendleft(reversed(self._unconfirmed.values()))
        self._unconfirmed = {}
        self._returned = set()
        self._sequence = 0

    def give_up(self) -> None:
        """Release all callers, now and later: there will be no more answers."""
        with self._lock:
            self._given_up = True
            for batch, _ in (*self._waiting, *self._unconfirmed.values()):
                batch.done.set()

    def take(self) -> list[Message]:
        """Number the messages to publish now, and return them in that order."""
        if not self._waiting:  # as with most confirms
            return []
        with self._lock:
            self._drop_expired()
            count = min(len(self._waiting), WIDTH - len(self._unconfirmed))
            taken = [self._waiting.popleft() for _ in range(count)]
        self._unconfirmed.update(enumerate(taken, self._sequence + 1))
        self._sequence += count
        return [batch.messages[index] for batch, index in taken]

    def answer(self, number: int, outcome: Confirmation, *, multiple: bool) -> None:
        """The broker's confirm for one message, or for all up to it."""
        for answered in self._up_to(number) if multiple else [number] * (number in self._unconfirmed):
            batch, index = self._unconfirmed.pop(answered)
            batch.resolve(index, Confirmation.UNROUTABLE if answered in self._returned else outcome)
            self._returned.discard(answered)

    def give_back(self, exchange: str, routing_key: str, message_id: str, body: bytes) -> None:
        """The broker returns the message itself, not its number, and confirms it right afterwards."""
        wanted = (True, exchange, routing_key, message_id, body)
        for number, (batch, index) in self._unconfirmed.items():
            sent = batch.messages[index]
            same = wanted == (sent.mandatory, sent.exchange, sent.routing_key, sent.message_id, sent.body)
            if same and number not in self._returned:
                self._returned.add(number)
                return

    def _drop_expired(self) -> None:
        now = monotonic()
        while self._waiting and self._waiting[0][0].expires < now:
            self._waiting.popleft()

    def _up_to(self, number: int) -> list[int]:
        return list(takewhile(number.__ge__, self._unconfirmed))  # in the order of publishing
