"""Events about hosting accounts, published by order intake."""

from schemas.envelope import Moment
from schemas.values import AccountRef, Attempt, Cause, Line, Model, OrderId, SiteType


class AccountCreated(Model):
    """The customer's hosting account exists."""

    order_id: OrderId
    site_type: SiteType
    account: AccountRef


class AccountRetrying(Model):
    """An attempt to create the account failed, or there was no room for it; there will be another."""

    order_id: OrderId
    attempt: Attempt
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    due_at: Moment
    """The earliest time of the next attempt, RFC 3339."""
    cause: Cause


class AccountFailed(Model):
    """The account could not be created, and there will be no further attempt by itself."""

    order_id: OrderId
    cause: Cause
    next: Line | None = None
    """What happens next, for people."""
