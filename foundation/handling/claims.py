"""What this process has claimed and is at work on, so that it can renew its leases."""

import threading
from math import inf
from time import monotonic


class Claims:
    """Claims by name, with their fencing numbers. What takes longer than `longest` seconds hangs, and
    is left to others. Safe to use from several threads."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._claims: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def hold(self, name: str, fence: int, *, waiting: bool = False) -> None:
        """From now on; what waits for a thread is held without limit, until it is held once more as it begins."""
        with self._lock:
            self._claims[name] = fence, inf if waiting else monotonic()

    def let_go(self, name: str, fence: int) -> None:
        """This claim only: whoever lost it to a later one of the same process leaves that one be."""
        with self._lock:
            if name in self._claims and self._claims[name][0] == fence:
                del self._claims[name]

    def held(self) -> dict[str, int]:
        """The fencing numbers of what is to be renewed."""
        since = monotonic() - self._longest
        with self._lock:
            return {name: fence for name, (fence, begun) in self._claims.items() if begun >= since}
