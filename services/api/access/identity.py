"""Who asks, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a member of staff may do; each role may do all that those before it may."""

    VIEWER = "viewer"
    """See everything but letters."""
    SUPPORT = "support"
    """Also cancel a pending install, retry one, send a letter again to the customer, note, mark as resolved."""
    OPERATOR = "operator"
    """Also act in bulk, run, pause, re-install, correct addresses, handle parked messages."""
    ADMIN = "admin"
    """Also change settings, staff, tokens and webhooks."""

    def includes(self, other: "Role") -> bool:
        """Whether this role may do all that the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Scope(StrEnum):
    """What an API token may do."""

    ORDERS_WRITE = "orders:write"
    """Place orders, and change those that its source placed."""
    ORDERS_READ = "orders:read"
    """See the orders that its source placed, with their installs and letters."""
    INSTALLS_WRITE = "installs:write"
    """What an operator may do with any order or install."""
    ADMIN = "admin"
    """See and do everything that an admin may."""


@dataclass(frozen=True)
class Identity:
    """A member of staff, or an API token."""

    name: str
    """A login name, or a token's name; goes into events as `authid`."""
    authtype: str
    """CloudEvents' Auth Context extension: `user` or `service_account`."""
    role: Role | None = None
    """Of a member of staff."""
    scopes: frozenset[Scope] = frozenset()
    """Of a token."""
    source: str = ""
    """The CloudEvents source that a token places orders as."""
    credential: str = ""
    """Hash of the token that was shown: another one once the token is rotated."""

    def may(self, scope: Scope) -> bool:
        """Whether a token has a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees_all(self) -> bool:
        """Whether it sees orders that others placed."""
        return self.role is not None or self.may(Scope.INSTALLS_WRITE)
