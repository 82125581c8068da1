"""What installs and their mails can be: the words alone, for whoever must not wait for the table's library."""

from enum import StrEnum


class State(StrEnum):
    """How far an install is."""

    STAGED = "staged"
    WAITING = "waiting"
    """Something is missing that no attempt can bring about."""
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class ServerState(StrEnum):
    """Whether installs may begin on a server: a circuit breaker, or staff, may be against it."""

    CLOSED = "closed"
    """They may."""
    OPEN = "open"
    """It has failed again and again, and is left alone for a while."""
    HALF_OPEN = "half-open"
    """One install is let through to try it."""
    PAUSED = "paused"
    """Staff are against it."""


class WaitingFor(StrEnum):
    """What an install waits for."""

    CAPACITY = "capacity"
    """As many installs run on its server as may."""
    SERVER = "server"
    """Its server is paused, or has failed again and again."""
    DNS = "dns"
    """Its domain does not lead to the server yet."""
    TLS = "tls"
    """The web server has no certificate for its domain yet."""


class MailState(StrEnum):
    """What the installer knows of an install's mail."""

    WAITING = "waiting"
    """Nothing was heard of it yet, or there is nothing to write of."""
    OFF = "off"
    """It gets none: its type has none, or a newer install replaced it before its mail was sent."""
    SENT = "sent"
    FAILED = "failed"
