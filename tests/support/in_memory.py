"""Run handlers without a database: units of work on rows in memory."""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from foundation.broker import codec
from foundation.handling.unit_of_work import DELAYED, Rows, UnitOfWork
from schemas.envelope import Event
from schemas.values import Model
from tests.support.house import START, kind

RowsT = TypeVar("RowsT", bound=Rows)


def at(seconds: float) -> datetime:
    """Return the time this many seconds after the start."""
    return START + timedelta(seconds=seconds)


def unit_of_work(rows: RowsT, service: str, seconds: float = 0) -> UnitOfWork[RowsT]:
    """Return a unit of work at this many seconds after the start."""
    no_connection: Any = None
    return UnitOfWork(rows, f"/sitecrew/{service}", at(seconds), no_connection)


def event_of(data: Model, source: str = "/test", seconds: float = 0) -> Event[Any]:
    """Return an event as it is delivered, sent this many seconds after the start."""
    return codec.envelope(data, id="id", source=source, subject=getattr(data, "order_id", None), time=at(seconds))


def emitted(uow: UnitOfWork[Any]) -> list[Event[Any]]:
    """Return what would be published to the exchange of its type."""
    return [codec.decode(message.body) for message in uow.outbox if message.exchange != DELAYED]


def event_types(uow: UnitOfWork[Any]) -> list[str]:
    return [kind(event.type) for event in emitted(uow)]


def redelivered(uow: UnitOfWork[Any]) -> list[str]:
    """Return the queues that something would be delivered to."""
    return [message.routing_key for message in uow.outbox if message.exchange == DELAYED]
