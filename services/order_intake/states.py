"""What orders can be: the words alone, for whoever must not wait for the table's library."""

from enum import StrEnum


class OrderState(StrEnum):
    ACCEPTED = "accepted"
    CREATED = "created"
    FAILED = "failed"
    CANCELLED = "cancelled"
