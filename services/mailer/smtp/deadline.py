"""A limit for a whole conversation: a time-out for each step is none for a server that sends a little at a time."""

from time import monotonic


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = monotonic() + seconds

    @property
    def passed(self) -> bool:
        return monotonic() >= self._ends

    def within(self, seconds: float) -> float:
        """How long a step may take that has so many seconds for itself. Raises TimeoutError if the time is over."""
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, seconds)
