"""What is counted for the pages. A figure is kept for a moment, so that many open pages cost no more than one."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from foundation.broker import Broker
from foundation.config.queues import API_EVENTS, WORK_QUEUES
from foundation.errors import BrokerUnreachable
from services.api.projection.activity import activity

T = TypeVar("T")

HOURS = 24
_KEPT = 10.0
"""Seconds for which a figure is kept."""
_ENDS = ("install.completed", "install.failed")


class Hour(NamedTuple):
    """How many installs ended within an hour."""

    begins_at: datetime
    installed: int
    failed: int

    @property
    def ended(self) -> int:
        return self.installed + self.failed


class Lately(Generic[T]):
    """A value that is found out again once it is too old; by one thread, for which the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None

    def get(self, seconds: float, find: Callable[[], T]) -> T:
        """Return it, no older than so many seconds."""
        with self._lock:
            if self._known is None or monotonic() - self._known[0] >= seconds:
                self._known = (monotonic(), find())
            return self._known[1]


class Figures:
    """The figures of one api process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._depths: Lately[Mapping[str, int]] = Lately()
        self._hours: Lately[Sequence[Hour]] = Lately()

    def depths(self) -> Mapping[str, int]:
        """Return how many messages wait in each queue of the services; nothing while the broker is away."""
        return self._depths.get(_KEPT, self._look)

    def hours(self, connection: Connection, now: datetime) -> Sequence[Hour]:
        """Return how many installs ended in each of the last 24 hours, the present one last."""
        return self._hours.get(_KEPT, lambda: _ended(connection, now))

    def _look(self) -> Mapping[str, int]:
        try:
            return {} if self._broker.disconnected() else self._broker.depths(sorted({API_EVENTS, *WORK_QUEUES}))
        except BrokerUnreachable:
            return {}


def _ended(connection: Connection, now: datetime) -> Sequence[Hour]:
    this = now.replace(minute=0, second=0, microsecond=0)
    begins = [this - timedelta(hours=back) for back in reversed(range(HOURS))]
    column = activity.c
    numbers = connection.execute(
        select(
            *(
                select(func.count())
                .where(column.kind == kind, column.at >= begin, column.at < begin + timedelta(hours=1))
                .scalar_subquery()
                for begin in begins
                for kind in _ENDS
            )
        )
    ).one()
    return [Hour(begin, *numbers[2 * at : 2 * at + 2]) for at, begin in enumerate(begins)]
