"""How much may be asked, and how large a request may be."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.broker.limits import MAX_BYTES
from services.api.http.problems import Problem, answer_of

FAILURES_PER_MINUTE = 20
"""Unknown tokens from one address; then none is looked at for a while. This spares the database: nobody guesses 256
random bits."""
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


class BodyLimit:
    """Takes in a request's whole body before anybody looks at it, and refuses one that is larger than a message to the
    broker may be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken: list[Message] = []
        size, more = 0, True
        while more:
            taken.append(message := await receive())
            size += len(message.get("body", b""))
            if size > MAX_BYTES:
                problem = Problem(413, "too_large", f"The request has more than {MAX_BYTES} bytes.")
                await answer_of(problem)(scope, receive, send)
                return
            more = message.get("more_body", False)
        taken.reverse()

        async def again() -> Message:
            return taken.pop() if taken else await receive()

        await self._app(scope, again, send)
