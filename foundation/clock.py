"""The time, as something that is handed in, so that a test can hold it still."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

Now = Callable[[], datetime]
"""The current time, aware, in UTC."""

_NOTABLE = 2.0
"""Seconds that clocks may differ before it is said."""

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Reading:
    """The store's time, and when it was read (monotonic)."""

    time: datetime
    read: float


class SharedClock:
    """The time that all replicas of a service agree on: their store's.

    Leases, due times and claims are compared across replicas, and a replica whose own clock is ahead would take leases
    from workers that are alive. Between two readings the process counts by itself, whatever becomes of its machine's
    clock. A store that is a file on this machine has no time of its own: then it is the machine's.
    """

    def __init__(self, store_time: Callable[[], datetime | None], own: Now = utc_now) -> None:
        """`store_time` is None where the store has no clock; may raise SitecrewError."""
        self._store_time = store_time
        self._own = own
        self._reading: _Reading | None = None
        self._said = threading.Event()

    def now(self) -> datetime:
        reading = self._reading
        return self._own() if reading is None else reading.time + timedelta(seconds=monotonic() - reading.read)

    @property
    def skew(self) -> float:
        """Seconds that this machine's clock is ahead of the store's."""
        return (self._own() - self.now()).total_seconds()

    def read(self) -> None:
        """Set it by the store. Raises SitecrewError if that does not answer."""
        began = monotonic()
        time = self._store_time()
        if time is not None:
            self._reading = _Reading(time, (began + monotonic()) / 2)
            self._say()

    def _say(self) -> None:
        if abs(self.skew) <= _NOTABLE:
            self._said.clear()
        elif not self._said.is_set():
            self._said.set()
            _log.warning("clock.skewed", skew_seconds=round(self.skew, 3))
