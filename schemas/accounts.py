"""Events about hosting accounts, published by order intake."""

from schemas.values import AccountRef, Cause, Line, Model, OrderId, SiteType


class AccountCreated(Model):
    """The customer's hosting account exists."""

    order_id: OrderId
    site_type: SiteType
    account: AccountRef


class AccountFailed(Model):
    """The account could not be created, and there will be no further attempt by itself."""

    order_id: OrderId
    cause: Cause
    next: Line | None = None
    """What happens next, for people."""
