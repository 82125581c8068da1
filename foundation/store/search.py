"""Looking for rows by what stands in the JSON that they keep."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, and_, or_, type_coerce


def has_code(column: Any, codes: Collection[str]) -> ColumnElement[bool]:
    """Whether a column keeps a cause of one of these codes."""
    kept = type_coerce(column, Text)
    return or_(*(kept.contains(f'"code":"{code}"', autoescape=True) for code in codes))


def mentions(column: Any, word: str) -> ColumnElement[bool]:
    """Whether a column holds this word, in whatever case; it may hold it anywhere."""
    return type_coerce(column, Text).icontains(word, autoescape=True)


def beyond(place: tuple[Any, Any], seen: Row[Any], *, backwards: bool) -> ColumnElement[bool]:
    """What comes after a row, in the order of two columns of which the second is unique."""
    (first, second), (one, two) = place, tuple(seen)
    if backwards:
        return or_(first < one, and_(first == one, second < two))
    return or_(first > one, and_(first == one, second > two))
