"""What orders and their installs can be: the words alone, for whoever must not wait for the table's library."""

from enum import StrEnum


class OrderState(StrEnum):
    ACCEPTED = "accepted"
    CREATED = "created"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InstallState(StrEnum):
    """What was last heard of an order's newest install."""

    NONE = "none"
    """There is no install yet."""
    STAGED = "staged"
    """It was announced, and has not ended: it may be running."""
    INSTALLED = "installed"
    FAILED = "failed"
    CANCELLED = "cancelled"
