"""Orders as people look at them: found by what they know of them, with all that their rows tell."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from foundation.store.search import beyond, has_code, is_about, mentions, seen
from schemas.values import AccountRef, Cause, Customer
from services.order_intake.accounts import orders
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


@dataclass(frozen=True)
class Known:
    """One order as it is shown."""

    order_id: str
    source: str
    """Who placed it: the event's `source`, and the broker's user if that is vouched for."""
    state: OrderState
    site_type: str
    domain: str
    customer: Customer
    title: str
    server: str
    username: str
    account: AccountRef | None
    cause: Cause | None
    tries: int
    """Since it was sent, or sent again."""
    tries_before: int
    generation: int
    install_state: str
    cancel_reason: str | None
    created_at: datetime
    updated_at: datetime


def listing(connection: Connection, wanted: Wanted, limit: int, after: str = "") -> list[Known]:
    """The newest first; those after the order of the id `after`, if given."""
    place = (orders.c.created_at, orders.c.order_id)
    query = select(orders).order_by(*(column.desc() for column in place)).where(*_conditions(wanted))
    if after:
        query = query.where(beyond(place, seen(connection, place, after, "order"), backwards=True))
    rows = (known(row) for row in connection.execute(query).mappings())
    return list(islice(_of_customer(rows, wanted.customer), limit))


def find(connection: Connection, order_id: str) -> Known | None:
    row = connection.execute(select(orders).where(orders.c.order_id == order_id)).mappings().first()
    return known(row) if row else None


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


def _of_customer(found: Iterator[Known], word: str) -> Iterator[Known]:
    """Those whose name or address has the word; the query looked at all that the column holds."""
    return (one for one in found if is_about(one.customer, word))


def known(row: Any) -> Known:
    return Known(
        order_id=row["order_id"],
        source=row["source"] + (f" ({row['user_id']})" if row["user_id"] else ""),
        state=OrderState(row["state"]),
        site_type=row["site_type"],
        domain=row["domain"],
        customer=row["customer"],
        title=row["title"],
        server=row["server"],
        username=row["username"],
        account=row["account"],
        cause=row["cause"],
        tries=row["tries"] - row["tries_before"],
        tries_before=row["tries_before"] - row["idle_claims"],
        generation=row["generation"],
        install_state=row["install_state"],
        cancel_reason=row["cancel_reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
