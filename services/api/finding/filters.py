"""What to look for. Filters that are empty or None filter nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What all listings can be filtered by."""

    order_id: str = ""
    search: str = ""
    """Beginning of an order's id, domain, username or email address; if none begins so, a part of a domain or an email
    address. The id of an install stands for its order."""
    since: datetime | None = None
    """The earliest time: of the last change, or of a line of the activity log."""
    until: datetime | None = None
    """The first moment that is too late."""
    placed_by: str | None = None
    """What concerns orders of one producer only, by its CloudEvents source."""
    oldest_first: bool = False
    """Whoever reads on like this misses nothing: what changes meanwhile comes again, later."""


@dataclass(frozen=True, kw_only=True)
class LetterFilter(Filter):
    """Which letters."""

    states: Collection[str] = ()
    causes: Collection[str] = ()
    """Codes of causes."""


@dataclass(frozen=True, kw_only=True)
class SiteFilter(LetterFilter):
    """Which orders, or which installs."""

    site_type: str = ""
    server: str = ""
    domain: str = ""
    """Part of a domain."""
    customer: str = ""
    """Part of a customer's name or email address."""
    letter_states: Collection[str] = ()
    """Installs with a letter in one of these states."""


@dataclass(frozen=True, kw_only=True)
class ActivityFilter(Filter):
    """Which lines of the activity log."""

    kinds: Collection[str] = ()
    """As the log has them: `install.failed`."""
    actor: str = ""
