"""How much a worker has in hand at a time."""

_SECONDS = 1.0
"""Of work that may be in hand where effects are quick."""
_WEIGHT = 0.1
"""Of the latest effect in the average."""


class Pace:
    """`few` deliveries as long as effects take long, so that replicas share what waits. `many` where that many are
    done within a second: each costs less, the more a transaction is about.

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
        self._average = _SECONDS  # until more is known
        self.capacity = few
        """How many deliveries may be in hand now."""

    @property
    def is_quick(self) -> bool:
        """Whether that is more than a few."""
        return self.capacity > self._few

    def took(self, seconds: float) -> None:
        """An effect has come to its end after so many seconds."""
        self._average += (seconds - self._average) * _WEIGHT
        ahead = self._average * self._many / self._threads
        # Not the same limit in both directions: what stands at it would go to and fro.
        self.capacity = self._many if ahead <= _SECONDS * (1 + self.is_quick) else self._few

    def runs(self, seconds: float) -> None:
        """An effect has been running for so long: one that is slow must not come to its end to be noticed."""
        if seconds > _SECONDS:
            self.took(seconds)
