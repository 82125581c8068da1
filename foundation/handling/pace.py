"""Adapt how many deliveries a worker takes at a time, and how many threads run them, to how long its effects take."""

from math import ceil

_SECONDS = 1.0
"""How many seconds' worth of work may be in flight while effects are quick."""
TOGETHER = 0.02
"""Seconds for which a busy worker or relay waits for more: a transaction costs as much as a few orders."""
_SOON = 0.05
"""Within how many seconds the effects that wait should be done. Where one thread manages that, more of them would only
compete for the interpreter's lock."""
_WEIGHT = 0.1
"""Weight of the latest effect in the moving average."""


class Pace:
    """A capacity of `few` deliveries while effects are slow, so that replicas share the backlog; `many` while that many
    are done within a second, because larger transactions cost less per delivery.

    >>> pace = Pace(few=4, many=100, threads=4)
    >>> pace.capacity
    4
    >>> for _ in range(40): pace.took(0.001)
    >>> pace.capacity
    100
    >>> pace.threads_for(3), pace.threads_for(10)
    (1, 4)
    >>> for _ in range(4): pace.took(0.25)
    >>> pace.capacity
    4
    """

    def __init__(self, few: int, many: int, threads: int) -> None:
        self._few = few
        self._many = max(few, many)
        self._threads = threads
        self._average = _SECONDS  # until effects have been measured
        self.capacity = few
        """How many deliveries may be in flight now."""

    @property
    def is_quick(self) -> bool:
        """Whether the capacity is above `few`."""
        return self.capacity > self._few

    def took(self, seconds: float) -> None:
        """Record how long a finished effect took, in seconds."""
        self._average += (seconds - self._average) * _WEIGHT
        ahead = self._average * self._many / self._threads
        # A different threshold in each direction, or the capacity would flap around a single one.
        self.capacity = self._many if ahead <= _SECONDS * (1 + self.is_quick) else self._few

    def runs(self, seconds: float) -> None:
        """Record how long a running effect has taken so far, so that a slow one counts before it ends."""
        if seconds > _SECONDS:
            self.took(seconds)

    def threads_for(self, waiting: int) -> int:
        """Return how many threads finish so many effects soon."""
        return ceil(waiting * self._average / _SOON)
