"""What installs can be: the words alone, for whoever must not wait for the table's library."""

from enum import StrEnum


class State(StrEnum):
    STAGED = "staged"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    CANCELLED = "cancelled"
