"""Conditions for searching and paging through rows."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, and_, or_, select, type_coerce

from foundation.errors import NotFound
from schemas.values import Customer


def has_code(column: Any, codes: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds a cause with one of these codes."""
    document = type_coerce(column, Text)
    return or_(*(document.contains(f'"code":"{code}"', autoescape=True) for code in codes))


def mentions(column: Any, word: str) -> ColumnElement[bool]:
    """Return the condition that a column contains this word anywhere, in any case."""
    return type_coerce(column, Text).icontains(word, autoescape=True)


def is_about(customer: Customer, word: str) -> bool:
    """Whether a customer's name or email address contains the word. Narrows down what `mentions` found in a column that
    holds more than these."""
    return word.lower() in f"{customer.name}\n{customer.email}".lower()


def seen(connection: Connection, place: tuple[Any, Any], id: str, what: str) -> Row[Any]:
    """Return a row's position (the values of two columns, the second being its id) to continue a page after it.

    `what` names the kind of row in the error. Raises NotFound if there is no such row.
    """
    row = connection.execute(select(*place).where(place[1] == id)).first()
    if row is None:
        raise NotFound(f"there is no {what} {id} to continue after")
    return row


def beyond(place: tuple[Any, Any], seen: Row[Any], *, backwards: bool) -> ColumnElement[bool]:
    """Return the condition that a row comes after `seen` in the order of two columns, the second being unique."""
    (first, second), (one, two) = place, tuple(seen)
    if backwards:
        return or_(first < one, and_(first == one, second < two))
    return or_(first > one, and_(first == one, second > two))
