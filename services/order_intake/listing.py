"""Find orders for people, by what they know about them."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from foundation.store import search
from foundation.store.search import comes_after, has_cause, position_of
from services.order_intake.orders import ORDERS, Order, orders


class Wanted(search.Wanted):
    """Which orders; `since` is about when they last changed."""


def listing(connection: Connection, wanted: Wanted, limit: int, after: str = "") -> list[Order]:
    """Return up to `limit` orders, newest first; those that follow the order `after`, if given. Raises NotFound."""
    place = (orders.c.created_at, orders.c.order_id)
    query = ORDERS.select().order_by(*(column.desc() for column in place)).where(*_conditions(wanted))
    if after:
        query = query.where(comes_after(place, position_of(connection, place, after, "order"), backwards=True))
    found = ORDERS.read(connection.execute(query))
    return list(islice(wanted.of_customer(found, lambda order: order.customer), limit))


def find(connection: Connection, order_id: str) -> Order | None:
    return ORDERS.get(connection, order_id)


def _conditions(wanted: Wanted) -> Iterator[Any]:
    yield from wanted.conditions(orders, "customer")
    if wanted.states:
        yield orders.c.state.in_(wanted.states)
    if wanted.causes:
        yield has_cause(orders.c.cause, wanted.causes)
    if wanted.since:
        yield orders.c.updated_at >= wanted.since
