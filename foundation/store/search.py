"""Conditions for searching and paging through rows."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, Text, and_, or_, select, type_coerce

from foundation.errors import NotFound
from schemas.values import Customer

R = TypeVar("R")


@dataclass(frozen=True)
class Wanted:
    """The filters of a listing; empty and None filter nothing."""

    states: Collection[StrEnum] = ()
    order_id: str = ""
    causes: Collection[str] = ()
    server: str = ""
    site_type: str = ""
    domain: str = ""
    """Part of a domain."""
    customer: str = ""
    """Part of a name or an email address."""
    since: datetime | None = None

    def conditions(self, table: Table, customer: str) -> Iterator[ColumnElement[bool]]:
        """Yield those conditions that are the same for orders and installs. `customer` names the column that holds the
        customer, perhaps among other things: pass what is found through `of_customer`."""
        for name in ("order_id", "server", "site_type"):
            if value := getattr(self, name):
                yield table.c[name] == value
        if self.domain:
            yield table.c.domain.icontains(self.domain, autoescape=True)
        if self.customer:
            yield mentions(table.c[customer], self.customer)

    def of_customer(self, rows: Iterable[R], customer_of: Callable[[R], Customer]) -> Iterator[R]:
        """Yield the rows whose customer's name or email address contains `customer`."""
        word = self.customer.lower()
        for row in rows:
            customer = customer_of(row)
            if word in f"{customer.name}\n{customer.email}".lower():
                yield row


def has_cause(column: Any, codes: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds a cause with one of these codes."""
    document = type_coerce(column, Text)
    return or_(*(document.contains(f'"code":"{code}"', autoescape=True) for code in codes))


def mentions(column: Any, word: str) -> ColumnElement[bool]:
    """Return the condition that a column contains this word anywhere, in any case."""
    return type_coerce(column, Text).icontains(word, autoescape=True)


def position_of(connection: Connection, place: tuple[Any, Any], id: str, what: str) -> Row[Any]:
    """Return a row's position (the values of two columns, the second being its id) to continue a page after it.

    `what` names the kind of row in the error. Raises NotFound if there is no such row.
    """
    row = connection.execute(select(*place).where(place[1] == id)).first()
    if row is None:
        raise NotFound(f"there is no {what} {id} to continue after")
    return row


def comes_after(place: tuple[Any, Any], position: Row[Any], *, backwards: bool) -> ColumnElement[bool]:
    """Return the condition that a row comes after `position` in the order of two columns, the second being unique."""
    (first, second), (one, two) = place, tuple(position)
    if backwards:
        return or_(first < one, and_(first == one, second < two))
    return or_(first > one, and_(first == one, second > two))
