"""Orders: what producers publish, and the answer when an order can't be accepted."""

from typing import Annotated

from pydantic import Field

from schemas.values import Cause, Customer, Domain, Line, Model, OrderId, SiteType


class OrderPlaced(Model):
    """A customer ordered a hosting account with a site in it.

    The same order id with the same content changes nothing; with other content it is rejected as a
    conflict. Two products of one customer are two order ids.
    """

    order_id: OrderId
    site_type: SiteType
    domain: Domain
    customer: Customer
    server: Line | None = None
    """Where to put the account; the configured default server if not given."""
    blog_name: Line | None = None
    """The site's title; the site type's default if not given."""


class OrderReinstallRequested(Model):
    """Install the order's site anew, as its next generation; the old site answers until then."""

    order_id: OrderId
    blog_name: Line | None = None
    """The new site's title; the order's own if not given."""


class OrderCancelled(Model):
    """Do not install what is not yet installed of this order. The account stays."""

    order_id: OrderId
    reason: Line | None = None
    """Shown beside the install that it cancels."""


class FieldError(Model):
    """One thing that is wrong with an order."""

    field: str
    """Its path in the event: `data.domain`."""
    message: str
    """What is wrong with it; never the value itself."""


class OrderRejected(Model):
    """An order that can't be carried out as it stands."""

    order_id: Annotated[str, Field(max_length=64)]
    """As it was sent, so perhaps no order id at all; `unknown` if it was not legible."""
    event_id: str
    """The `id` of the event that carried it, or `unknown`."""
    event_source: str
    """Its `source`, or `unknown`."""
    cause: Cause
    errors: tuple[FieldError, ...] = ()
    """All that is wrong with it, if it is its fields."""
