"""The rows that order intake's handlers decide on, in memory for one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from foundation.store.in_list import in_list
from foundation.store.records import Loaded, lock
from foundation.store.running import Running
from schemas.envelope import Event
from schemas.orders import OrderPlaced, OrderRetry
from schemas.values import Customer, Model
from services.order_intake.limits import Turns, latest
from services.order_intake.neighbours import Neighbours
from services.order_intake.orders import ORDERS, Order, candidate, orders
from services.order_intake.states import OrderState

Wish = tuple[str, str]
"""An order's id and its domain."""

_TAKEN = {name: select(orders.c.username).where(in_list(orders.c.username, name)) for name in ("sqlite", "postgresql")}
_ACCEPTING = "accepting orders"  # no order is called that
_CANDIDATES = 100  # with 32^4 endings each

_RUNS = (orders.c.state == OrderState.ACCEPTED, orders.c.lease_owner.is_not(None))


def _running(connection: Connection | None = None) -> Running:
    return Running(connection, orders.c.server, *_RUNS)


@dataclass
class OrderRows:
    """Some orders; and for new ones: who holds the domains around theirs, free usernames, and their producers'
    turns."""

    orders: Loaded[Order] = field(default_factory=lambda: Loaded(ORDERS))
    turns: Turns = field(default_factory=Turns)
    running: Running = field(default_factory=_running)
    neighbours: Neighbours = field(default_factory=Neighbours)
    usernames: Mapping[Wish, str] = field(default_factory=dict)

    def enter(self, order: Order) -> Order:
        """Save an order that is new or tried again; it holds its domain from now on."""
        self.neighbours.add(order.order_id, order.domain, order.customer)
        return self.orders.save(order)

    def username(self, placed: OrderPlaced) -> str:
        """Return a username that no other order has."""
        wish = placed.order_id, placed.domain
        return self.usernames.get(wish) or candidate(placed.domain, placed.order_id, 0)

    def customers_around(self, domain: str) -> Iterator[Customer]:
        """Yield the customers whose orders hold a domain below or above this one."""
        for order_id, customer in self.neighbours.of(domain).items():
            order = self.orders.get(order_id)
            if order is None:
                yield customer
            elif order.holds_domain:
                yield order.customer

    def sequence(self, data: Model) -> str | None:
        """Return the version of the order that an event tells of; what it says of installs has none."""
        named = vars(data)
        return None if "install_id" in named else self.orders.sequence(named.get("order_id"))

    def flush(self, connection: Connection) -> None:
        """Write what has changed."""
        self.orders.flush(connection)


def load(connection: Connection, order_ids: Sequence[str], events: Sequence[Event[Any]]) -> OrderRows:
    """Load and lock these orders, even if they have no row yet. If the events may bring new orders, or failed ones
    again, load what decides about those too; then no other transaction accepts orders meanwhile."""
    lock(connection, order_ids)
    rows = OrderRows(ORDERS.load(connection, order_ids), Turns(partial(latest, connection)), _running(connection))
    named = {event.data.order_id: event.data for event in events if isinstance(event.data, OrderPlaced | OrderRetry)}
    known = {order_id: rows.orders.get(order_id) for order_id in named}
    new = {(d.order_id, d.domain) for d in named.values() if isinstance(d, OrderPlaced) and not known[d.order_id]}
    again = {order.domain for order in known.values() if order and order.state == OrderState.FAILED}
    if new or again:
        lock(connection, [_ACCEPTING])
        rows.neighbours = Neighbours.load(connection, {*again, *(domain for _, domain in new)})
        rows.usernames = _usernames(connection, new)
    return rows


def _usernames(connection: Connection, wishes: Iterable[Wish]) -> dict[Wish, str]:
    """Return for each order the first candidate that no other order has, on whatever server."""
    query, left, free = _TAKEN[connection.dialect.name], set(wishes), dict[Wish, str]()
    for number in range(_CANDIDATES):
        if not left:
            break
        names = {wish: candidate(wish[1], wish[0], number) for wish in left}
        taken = {*free.values(), *connection.execute(query, {"wanted": sorted(set(names.values()))}).scalars()}
        for wish, name in names.items():
            if name not in taken:
                free[wish] = name
                taken.add(name)
        left -= free.keys()
    return free
