"""What an audit reads of the projection: the states that it shows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from foundation.store.streaming import in_order
from services.api.projection.views import install_views, letter_views, order_views


class Seen(NamedTuple):
    """One record."""

    order_id: str
    id: str
    """The order's id, or the install's."""
    state: str


_ORDERS = select(order_views.c.order_id, order_views.c.order_id, order_views.c.state)
_INSTALLS = select(install_views.c.order_id, install_views.c.install_id, install_views.c.state)
_LETTERS = select(letter_views.c.order_id, letter_views.c.install_id, letter_views.c.state)


def seen_orders(connection: Connection, only: Sequence[str] | None = None) -> Iterator[Seen]:
    """Yield the orders that are seen, in the order of their ids; with `only`, those with these ids."""
    return map(Seen._make, in_order(connection, _ORDERS, order_views.c.order_id, only))


def seen_installs(connection: Connection, only: Sequence[str] | None = None) -> Iterator[Seen]:
    """Yield their installs alike."""
    return map(Seen._make, in_order(connection, _INSTALLS, install_views.c.order_id, only))


def seen_letters(connection: Connection, only: Sequence[str] | None = None) -> Iterator[Seen]:
    """Yield their letters alike."""
    return map(Seen._make, in_order(connection, _LETTERS, letter_views.c.order_id, only))
