"""Events about orders: what producers publish, what order intake answers, and the commands of staff."""

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
    Priority,
    SiteType,
    TimeZone,
)


class OrderPlaced(Model):
    """A customer ordered a hosting account with a site in it.

    Sending the same order id again with the same content changes nothing; with different content it is rejected as a
    conflict. Two products of one customer need two order ids.
    """

    order_id: OrderId
    site_type: SiteType
    domain: Domain
    customer: Customer
    server: Line | None = None
    """The hosting server for the account; the configured default server if not given."""
    blog_name: Line | None = None
    """The site's title; the site type's default if not given."""
    locale: Locale | None = None
    """The language of the site and of the welcome email; the site type's default if not given."""
    timezone: TimeZone | None = None
    """The site's time zone; the site type's default if not given."""
    permalinks: Permalinks | None = None
    """The permalink structure of the site's pages; the site type's default if not given."""
    priority: Priority | None = None
    """How urgent its installs are among those that wait; `normal` if not given."""


class OrderReinstallRequested(Model):
    """Install the order's site again, as its next generation; the old site answers until then."""

    order_id: OrderId
    blog_name: Line | None = None
    """The new site's title; the title from the order if not given."""


class OrderCancelled(Model):
    """Cancel the order's installs that have not begun. The account stays."""

    order_id: OrderId
    reason: Line | None = None
    """Shown with the install that it cancels."""


class OrderCancel(Model):
    """Command: like `order.cancelled`, but from staff, for any producer's order. Answered by `order.withdrawn` or
    `command.refused`."""

    order_id: OrderId
    reason: Line = "cancelled by staff"
    """Shown with the order and its install."""


class OrderReinstall(Model):
    """Command: like `order.reinstall_requested`, but from staff, for any producer's order. Answered by `install.staged`
    or `command.refused`."""

    order_id: OrderId
    blog_name: Line | None = None
    """The new site's title; the title from the order if not given."""


class OrderRetry(Model):
    """Command: try again to create the account of an order whose account has failed, with all its attempts. Answered by
    `order.accepted` or `command.refused`."""

    order_id: OrderId


class OrderAmend(Model):
    """Command: correct the customer's name or email address, for later installs and emails. Answered by `order.amended`
    or `command.refused`."""

    order_id: OrderId
    name: Line | None = None
    """The customer's name; unchanged if not given."""
    email: Email | None = None
    """The customer's email address; unchanged if not given."""


class OrderAccepted(Model):
    """An order was accepted: its account is being created, or waits for its producer's turn."""

    order_id: OrderId
    site_type: SiteType
    domain: Domain
    customer: Customer
    server: Line
    """The hosting server for the account."""
    username: Line
    """The account's username, unless the server knows it already."""
    title: Line
    """The site's title."""
    placed_at: Moment
    """When it was received."""
    placed_by: str
    """The CloudEvents source that placed it."""
    due_at: Moment
    """When its account may be created: at once, or as its producer's limit has it."""
    priority: Priority | None = None
    """How urgent its installs are among those that wait; `normal` if not given."""


class OrderKnown(Model):
    """An order was sent again, unchanged, and nothing was done. Says how far the order is."""

    order_id: OrderId
    event_id: str
    """The `id` of the event that sent it again."""
    state: Line
    """`accepted`, `created`, `failed` or `cancelled`."""
    placed_at: Moment
    """When it was first received."""
    install_id: InstallId | None = None
    """Its newest install, if there is one."""
    install_state: Line | None = None
    """How that install ended: `installed`, `failed` or `cancelled`; `staged` if it has not ended yet."""


class OrderWithdrawn(Model):
    """An order was cancelled: installs of it that have not begun will not run. Told again, with `domain_released`, when
    its server has released the domain."""

    order_id: OrderId
    reason: Line
    """The reason that was given."""
    state: Line | None = None
    """`cancelled`; or `created` if the order has a site, and only a re-install was cancelled."""
    domain_released: bool | None = None
    """Whether another order may have the domain."""


class OrderAmended(Model):
    """The customer's name or email address was corrected."""

    order_id: OrderId
    customer: Customer
    """The corrected customer."""


class FieldError(Model):
    """One thing that is wrong with an order."""

    field: str
    """The field's path in the event: `data.domain`."""
    message: str
    """What is wrong with it; never repeats the value."""


class OrderRejected(Model):
    """An order was rejected: it can't be carried out as it is."""

    order_id: Annotated[str, Field(max_length=64)]
    """The order id as it was sent, which may be invalid; `unknown` if it could not be read."""
    event_id: str
    """The `id` of the event that contained it, or `unknown`."""
    event_source: str
    """Its `source`, or `unknown`."""
    cause: Cause
    errors: tuple[FieldError, ...] = ()
    """Everything that is wrong with its fields; empty if the fields are not the reason."""
