"""Which of many lost connections and failed attempts are logged."""

from time import monotonic

_RARELY = 30.0
"""Seconds between two lines about the same outage."""


class Losses:
    """The losses of one connection. News about an outage (another node, another reason) is logged at once, repetitions
    rarely, with their number."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()
        self._untold = 0
        self._told_at = 0.0

    def to_tell(self, node: str, reason: str) -> int:
        """Count one more. Returns how many to log now: all since the last line, or 0 for no line."""
        self._untold += 1
        now = monotonic()
        if (node, reason) in self._known and now - self._told_at < _RARELY:
            return 0
        self._known.add((node, reason))
        self._told_at, number, self._untold = now, self._untold, 0
        return number

    def forget(self) -> None:
        """The outage is over; the next one is logged at once."""
        self._known.clear()
        self._untold = 0
