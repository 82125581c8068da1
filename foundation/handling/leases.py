"""Keep track of the leases that this process holds, so that it can renew them while it works."""

import threading
from math import inf
from time import monotonic
from typing import Any


class Leases:
    """The claimed rows of one table, by their column `key`.

    Work that takes longer than `longest` seconds counts as hung: its lease is not renewed any more, so another worker
    can take over the row. Thread-safe.
    """

    def __init__(self, longest: float, *, key: str, fence: str = "fence") -> None:
        self._longest = longest
        self._key = key
        self._fence = fence
        self._held: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def hold(self, row: Any, *, waiting: bool = False) -> None:
        """Add a lease. With `waiting` (for a thread) it is held without limit, until `hold` is called again when the
        work begins."""
        with self._lock:
            self._held[getattr(row, self._key)] = getattr(row, self._fence), inf if waiting else monotonic()

    def let_go(self, row: Any) -> None:
        """Remove this lease, but not a later one on the same row."""
        key = getattr(row, self._key)
        with self._lock:
            if key in self._held and self._held[key][0] == getattr(row, self._fence):
                del self._held[key]

    def held(self) -> dict[str, int]:
        """Return the leases to renew, as key -> fencing token."""
        since = monotonic() - self._longest
        with self._lock:
            return {key: fence for key, (fence, begun) in self._held.items() if begun >= since}
