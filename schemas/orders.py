"""Orders: what producers publish, and the answer when an order can't be accepted."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import (
    Cause,
    Customer,
    Domain,
    Email,
    InstallId,
    Line,
    Locale,
    Model,
    OrderId,
    Permalinks,
    SiteType,
    TimeZone,
)


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
    locale: Locale | None = None
    """The language of the site and of the welcome letter; the site type's default if not given."""
    timezone: TimeZone | None = None
    """The site's time zone; the site type's default if not given."""
    permalinks: Permalinks | None = None
    """The structure of the addresses of the site's pages; the site type's default if not given."""


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


class OrderCancel(Model):
    """Command: as `order.cancelled`, by staff, whoever placed the order. Answered by `order.withdrawn` or
    `command.refused`."""

    order_id: OrderId
    reason: Line = "cancelled by staff"
    """Shown beside the order and its install."""


class OrderReinstall(Model):
    """Command: as `order.reinstall_requested`, by staff, whoever placed the order. Answered by `install.staged` or
    `command.refused`."""

    order_id: OrderId
    blog_name: Line | None = None
    """The new site's title; the order's own if not given."""


class OrderAmend(Model):
    """Command: correct the customer's name or e-mail address. Later installs and letters use what is given here.
    Answered by `order.amended` or `command.refused`."""

    order_id: OrderId
    name: Line | None = None
    """The customer's name; unchanged if not given."""
    email: Email | None = None
    """Where letters go; unchanged if not given."""


class OrderKnown(Model):
    """An order came again, unchanged: nothing was done. Tells how far it is."""

    order_id: OrderId
    event_id: str
    """The `id` of the event that brought it again."""
    state: Line
    """`accepted`, `created`, `failed` or `cancelled`."""
    placed_at: Moment
    """When it came first."""
    install_id: InstallId | None = None
    """Its newest install, if there is one."""
    install_state: Line | None = None
    """How that install ended: `installed`, `failed` or `cancelled`; `staged` if it has not ended yet."""


class OrderWithdrawn(Model):
    """An order was taken back: what of it is not yet installed will not be."""

    order_id: OrderId
    reason: Line
    """As given by whoever took it back."""


class OrderAmended(Model):
    """The customer's name or e-mail address was corrected."""

    order_id: OrderId
    customer: Customer
    """As it is now."""


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
