"""Adapt how many deliveries a worker takes at a time to how long its effects take."""

_SECONDS = 1.0
"""How many seconds' worth of work may be in flight while effects are quick."""
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
