"""Pages of a listing. A page ends at a position, and the next one continues behind it, however much was added since."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from foundation.errors import SitecrewError

R = TypeVar("R")
S = TypeVar("S")

LIMIT = 50
"""Rows of a page."""
MOST = 500
"""The most that can be asked for."""


class BadCursor(SitecrewError):
    """A cursor that no page has ever ended with."""


class Position(NamedTuple):
    """Where a row stands in a listing."""

    at: datetime
    id: Any
    """Text, or the number of a line of the activity log."""

    def cursor(self) -> str:
        """Return it as a text that can be part of a URL."""
        return urlsafe_b64encode(orjson.dumps([self.at.isoformat(), self.id])).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str, id: type[Any]) -> "Position":
        """Return the position that a cursor stands for; `id` is the type of ids. Raises BadCursor."""
        try:
            at, last = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            found = cls(datetime.fromisoformat(at).astimezone(UTC), last)
        except (ValueError, TypeError, OverflowError):
            raise BadCursor("the cursor is none that a page has ended with") from None
        if type(last) is not id or (id is int and not 0 <= last < 2**63) or (id is str and "\x00" in last):
            raise BadCursor("the cursor is that of another listing")
        return found


@dataclass(frozen=True)
class Page(Generic[R]):
    """Some rows, and where to go on."""

    rows: Sequence[R]
    next: str | None = None
    """The cursor of the next page; None if this is the last one."""

    def of(self, make: Callable[[R], S]) -> "Page[S]":
        """Return the page with something made of each row."""
        return Page([make(row) for row in self.rows], self.next)
