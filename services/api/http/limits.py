"""How much may be asked."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

FAILURES_PER_MINUTE = 20
"""Unknown tokens from one address; then it is told to wait. Whoever shares it and has a token need not."""
_MOST = 10_000
"""Names that are remembered."""


@dataclass
class RateLimit:
    """Lets each name do something `per_minute` times a minute, all of them at once if need be; 0: as often as it
    likes. Each replica counts for itself, so that no request writes into the database for this: N replicas let through
    N times as much. What guards passwords is counted in the database (`services.api.access.throttle`)."""

    per_minute: float
    _left: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, name: str, now: datetime) -> float:
        """Return how many seconds there are until the name may do it: 0 if it may now."""
        if not self.per_minute:
            return 0
        return max(0.0, (1 - self._now(name, now)) * 60 / self.per_minute)

    def take(self, name: str, now: datetime) -> float:
        """Count that the name does it, if it may; return what `wait` does."""
        with self._lock:
            seconds = self.wait(name, now)
            if not seconds and self.per_minute:
                while len(self._left) >= _MOST:
                    del self._left[next(iter(self._left))]
                self._left[name] = self._now(name, now) - 1, now
            return seconds

    def _now(self, name: str, now: datetime) -> float:
        left, since = self._left.get(name, (self.per_minute, now))
        return min(self.per_minute, left + (now - since).total_seconds() * self.per_minute / 60)
