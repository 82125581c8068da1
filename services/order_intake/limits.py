"""What one producer may cause: orders a minute, re-installs of one order an hour."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import Column, Integer, String, Table, delete, func, insert, select

from foundation.handling.unit_of_work import UnitOfWork
from foundation.store import Utc
from foundation.store.types import metadata
from services.order_intake import accounts

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)

reinstalls = Table(
    "reinstalls",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("at", Utc, nullable=False),
)
"""Those that producers asked for within the last hour."""

_log = structlog.get_logger(__name__)


def turn(uow: UnitOfWork, producer: str, per_minute: int) -> datetime:
    """When the account of the producer's next order may be created: at once, or a minute after the turn of the
    last one but `per_minute`. Turns never overtake each other. 0 sets no limit."""
    full = accounts.turn_before(uow, producer, per_minute - 1) if per_minute else None
    last = accounts.turn_before(uow, producer, 0) if full else None
    if full is None or last is None:
        return uow.now
    turn_at = max(uow.now, full + _MINUTE, last)
    if turn_at > uow.now >= last:
        _log.warning("orders.limited", producer=producer, per_minute=per_minute)
    return turn_at


def may_reinstall(uow: UnitOfWork, order: accounts.Order, per_hour: int) -> bool:
    """Whether the order has not had its re-installs of this hour. 0 sets no limit."""
    its = reinstalls.c.order_id == order.order_id
    uow.execute(delete(reinstalls).where(its, reinstalls.c.at <= uow.now - _HOUR))
    had = uow.execute(select(func.count()).select_from(reinstalls).where(its)).scalar_one()
    return not per_hour or had < per_hour


def note_reinstall(uow: UnitOfWork, order: accounts.Order) -> None:
    """Count the re-install that made the order's newest generation."""
    uow.execute(insert(reinstalls), {"order_id": order.order_id, "generation": order.generation, "at": uow.now})
