"""Clocks that are passed in, so that tests can control the time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

Now = Callable[[], datetime]
"""The current time, aware, in UTC."""

_NOTABLE = 2.0
"""Difference between the clocks, in seconds, above which a warning is logged."""

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def exact(moment: datetime) -> str:
    """Return an aware moment as RFC 3339 has it, in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class _Reading:
    """The store's time, and when it was read (monotonic seconds)."""

    time: datetime
    read: float


class SharedClock:
    """The time that all replicas of a service agree on: that of their store.

    Leases, due times and claims are compared across replicas; a replica whose own clock is ahead would take leases away
    from workers that are alive. Between readings, time advances by the monotonic clock, so changes of this machine's
    clock have no effect. A store without a clock (SQLite) falls back to this machine's.
    """

    def __init__(self, store_time: Callable[[], datetime | None], own: Now = utc_now) -> None:
        """`store_time` returns the store's time, or None if it has no clock; it may raise SitecrewError."""
        self._store_time = store_time
        self._own = own
        self._reading: _Reading | None = None
        self._warned = threading.Event()

    def now(self) -> datetime:
        reading = self._reading
        return self._own() if reading is None else reading.time + timedelta(seconds=monotonic() - reading.read)

    @property
    def skew(self) -> float:
        """Seconds by which this machine's clock is ahead of the store's."""
        return (self._own() - self.now()).total_seconds()

    def read(self) -> None:
        """Synchronize with the store's clock. Raises SitecrewError if the store does not answer."""
        began = monotonic()
        time = self._store_time()
        if time is not None:
            self._reading = _Reading(time, (began + monotonic()) / 2)
            self._warn_once()

    def _warn_once(self) -> None:
        if abs(self.skew) <= _NOTABLE:
            self._warned.clear()
        elif not self._warned.is_set():
            self._warned.set()
            _log.warning("clock.skewed", skew_seconds=round(self.skew, 3))
