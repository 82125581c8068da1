"""What has happened to an install: kept in its row, so that it can be told when the logs are gone."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import Cause, Model

_KEPT = 30
"""The latest entries that a row keeps: more than an install has attempts, with some retries by staff."""


class Entry(Model):
    """One thing that happened."""

    at: Moment
    what: str
    """`attempt failed`, `looked` (nothing stands of what a lost worker may have left), `failed`, `installed`,
    `retried`, `resolved` or `cancelled`."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    cause: Cause | None = None
    by: str | None = None
    """Who did it, if a person or another program did."""
    reason: str | None = None
    """As given by whoever did it."""


class History(Model):
    """The latest of what happened, the oldest first."""

    entries: tuple[Entry, ...] = ()

    def then(self, entry: Entry) -> "History":
        """With one more entry."""
        return History(entries=(*self.entries, entry)[-_KEPT:])
