"""Looking for rows by what stands in the JSON that they keep."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, and_, or_, select, type_coerce

from foundation.errors import NotFound
from schemas.values import Customer


def has_code(column: Any, codes: Collection[str]) -> ColumnElement[bool]:
    """Whether a column keeps a cause of one of these codes."""
    kept = type_coerce(column, Text)
    return or_(*(kept.contains(f'"code":"{code}"', autoescape=True) for code in codes))


def mentions(column: Any, word: str) -> ColumnElement[bool]:
    """Whether a column holds this word, in whatever case; it may hold it anywhere."""
    return type_coerce(column, Text).icontains(word, autoescape=True)


def is_about(customer: Customer, word: str) -> bool:
    """Whether his name or his address has the word: for what `mentions` found in a column that holds more."""
    return word.lower() in f"{customer.name}\n{customer.email}".lower()


def seen(connection: Connection, place: tuple[Any, Any], id: str, what: str) -> Row[Any]:
    """Where a row stands in the order of two columns of which the second is its id. Raises NotFound."""
    row = connection.execute(select(*place).where(place[1] == id)).first()
    if row is None:
        raise NotFound(f"there is no {what} {id} to go on after")
    return row


def beyond(place: tuple[Any, Any], seen: Row[Any], *, backwards: bool) -> ColumnElement[bool]:
    """What comes after a row, in the order of two columns of which the second is unique."""
    (first, second), (one, two) = place, tuple(seen)
    if backwards:
        return or_(first < one, and_(first == one, second < two))
    return or_(first > one, and_(first == one, second > two))
