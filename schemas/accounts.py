"""Hosting accounts, as order intake reports them."""

from schemas.values import AccountRef, Cause, Line, Model, OrderId, SiteType


class AccountCreated(Model):
    """The customer's hosting account exists."""

    order_id: OrderId
    site_type: SiteType
    account: AccountRef


class AccountFailed(Model):
    """The account could not be created, and will not be tried again by itself."""

    order_id: OrderId
    cause: Cause
    next: Line | None = None
    """What happens next, for people."""
