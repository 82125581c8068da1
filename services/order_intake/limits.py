"""Limits on producers: orders per minute, re-installs of one order per hour."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, select

from foundation.store.frozen import replace
from services.order_intake.orders import Moments, Order, orders

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)

_log = structlog.get_logger(__name__)


def latest(connection: Connection, producer: str, number: int) -> list[datetime]:
    """Return the turns of the producer's last orders, latest first."""
    turns = select(orders.c.turn_at).where(orders.c.user_id == producer).order_by(orders.c.turn_at.desc())
    return list(connection.execute(turns.limit(number)).scalars())


class Turns:
    """The turns that producers have taken. A producer's latest ones are looked up once per transaction."""

    def __init__(self, latest: Callable[[str, int], Sequence[datetime]] = lambda _producer, _number: ()) -> None:
        self._latest = latest
        self._taken: dict[str, list[datetime]] = {}

    def take(self, producer: str, per_minute: int, now: datetime) -> datetime:
        """When the account of the producer's next order may be created: at once, or a minute after the turn of the
        last one but `per_minute`. Turns never overtake each other. 0 sets no limit."""
        if not per_minute:
            return now
        if producer not in self._taken:
            self._taken[producer] = [*reversed(self._latest(producer, per_minute))]
        taken = self._taken[producer]
        turn_at = now
        if len(taken) >= per_minute:
            turn_at = max(now, taken[-per_minute] + _MINUTE, taken[-1])
            if turn_at > now >= taken[-1]:
                _log.warning("orders.limited", producer=producer, per_minute=per_minute)
        taken.append(turn_at)
        return turn_at


def reinstall(order: Order, per_hour: int, now: datetime) -> Order | None:
    """Count one more re-install by the producer; None if the order has had its hourly share. 0 means no limit."""
    if not per_hour:
        return order
    had = tuple(at for at in order.reinstalls.times if at > now - _HOUR)
    return replace(order, reinstalls=Moments(times=(*had, now))) if len(had) < per_hour else None
