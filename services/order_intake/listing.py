"""Orders as people look at them: found by what they know of them, with all that their rows tell."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from foundation.store.search import beyond, has_code, is_about, mentions, seen
from services.order_intake.orders import ORDERS, Order, orders
from services.order_intake.states import OrderState


@dataclass(frozen=True)
class Wanted:
    """Which orders; what is empty or None does not narrow them."""

    states: Collection[OrderState] = ()
    order_id: str = ""
    causes: Collection[str] = ()
    server: str = ""
    site_type: str = ""
    domain: str = ""
    """Part of it is enough."""
    customer: str = ""
    """Part of a name or an e-mail address."""
    since: datetime | None = None
    """Those that changed since then."""


def listing(connection: Connection, wanted: Wanted, limit: int, after: str = "") -> list[Order]:
    """The newest first; those after the order of the id `after`, if given."""
    place = (orders.c.created_at, orders.c.order_id)
    query = ORDERS.select().order_by(*(column.desc() for column in place)).where(*_conditions(wanted))
    if after:
        query = query.where(beyond(place, seen(connection, place, after, "order"), backwards=True))
    return list(islice(_of_customer(ORDERS.read(connection.execute(query)), wanted.customer), limit))


def find(connection: Connection, order_id: str) -> Order | None:
    return ORDERS.get(connection, order_id)


def _conditions(wanted: Wanted) -> Iterator[Any]:
    if wanted.states:
        yield orders.c.state.in_(wanted.states)
    if wanted.order_id:
        yield orders.c.order_id == wanted.order_id
    if wanted.causes:
        yield has_code(orders.c.cause, wanted.causes)
    if wanted.server:
        yield orders.c.server == wanted.server
    if wanted.site_type:
        yield orders.c.site_type == wanted.site_type
    if wanted.domain:
        yield orders.c.domain.icontains(wanted.domain, autoescape=True)
    if wanted.customer:
        yield mentions(orders.c.customer, wanted.customer)
    if wanted.since:
        yield orders.c.updated_at >= wanted.since


def _of_customer(found: Iterable[Order], word: str) -> Iterator[Order]:
    """Those whose name or address has the word; the query looked at all that the column holds."""
    return (one for one in found if is_about(one.customer, word))
