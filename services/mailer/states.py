"""What letters can be: the words alone, for whoever must not wait for the table's library."""

from enum import StrEnum


class State(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
