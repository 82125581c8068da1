"""What installs and their mails can be: the words alone, for whoever must not wait for the table's library."""

from enum import StrEnum


class State(StrEnum):
    """How far an install is."""

    STAGED = "staged"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class MailState(StrEnum):
    """What the installer knows of an install's mail."""

    WAITING = "waiting"
    """Nothing was heard of it yet, or there is nothing to write of."""
    OFF = "off"
    """It gets none: its type has none, or a newer install replaced it before its mail was sent."""
    SENT = "sent"
    FAILED = "failed"
