"""Whose turn it is among queues of which some are more urgent: theirs, but nothing waits for ever."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
SHARE = 4
"""How many messages are taken past a queue in which something waits, at most."""


class Turns:
    """A queue with more urgent and less urgent ones beside it. Keeps count over all consumers that it was given to.

    >>> turns = Turns("due", more=("due.high",), less=("due.low",))
    >>> turns.queues
    ('due.high', 'due', 'due.low')
    >>> [turns.next(("due.high", "due")) for _ in range(6)]
    ['due.high', 'due.high', 'due.high', 'due.high', 'due', 'due.high']
    >>> turns.take({"due.high": deque("ab"), "due": deque(), "due.low": deque("x")}, limit=10)
    ['a', 'b', 'x']
    """

    def __init__(self, queue: str, *, more: Sequence[str] = (), less: Sequence[str] = ()) -> None:
        self.queue = queue
        self.queues = (*more, queue, *less)
        """The most urgent first."""
        self._passed = dict.fromkeys(self.queues, 0)

    def take(self, arrived: Mapping[str, deque[T]], limit: int) -> list[T]:
        """Take up to `limit` of what has arrived, by queue."""
        taken: list[T] = []
        while (room := limit - len(taken)) > 0 and (waiting := [queue for queue in self.queues if arrived[queue]]):
            queue = self.next(waiting)
            alone = len(waiting) == 1  # then it has all turns
            taken += [arrived[queue].popleft() for _ in range(min(room, len(arrived[queue])) if alone else 1)]
        return taken

    def next(self, waiting: Sequence[str]) -> str:
        """Return from which of the queues in which something waits (the most urgent first) the next is taken."""
        longest = max(waiting, key=self._passed.__getitem__)
        chosen = longest if self._passed[longest] >= SHARE else waiting[0]
        for queue in waiting:
            self._passed[queue] += 1
        self._passed[chosen] = 0
        return chosen
