"""Events about hosting accounts, published by order intake."""

from schemas.envelope import Moment
from schemas.values import AccountRef, Attempt, Cause, Line, Model, OrderId, SiteType


class AccountCreated(Model):
    """The customer's hosting account exists."""

    order_id: OrderId
    site_type: SiteType
    account: AccountRef
    attempt: Attempt | None = None
    """The number of the attempt that created it; the first is 1."""


class AccountRetrying(Model):
    """An attempt to create the account failed, there was no room for it, or it waits for its server; there will be
    another."""

    order_id: OrderId
    attempt: Attempt
    """The number of the next attempt; the first is 1."""
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    due_at: Moment
    """The earliest time of the next attempt, RFC 3339."""
    cause: Cause
    username: Line | None = None
    """The username that will be tried."""


class AccountFailed(Model):
    """The account could not be created, and there will be no further attempt by itself. Told again, with
    `domain_released`, when its server has released the domain."""

    order_id: OrderId
    cause: Cause
    attempt: Attempt | None = None
    """The number of the last attempt; the first is 1."""
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    domain_released: bool | None = None
    """Whether another order may have the domain."""
    next: Line | None = None
    """What happens next, for people."""
