"""The life of an install, and the commands that staff steer it with."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import (
    AccountRef,
    Cause,
    Customer,
    Generation,
    InstallId,
    Line,
    Locale,
    Model,
    OrderId,
    Permalinks,
    SealedSecret,
    SiteType,
    TimeZone,
)

Attempt = Annotated[int, Field(ge=1, le=10_000, description="1 for the first try of an install.")]


class InstallRef(Model):
    """Which install an event speaks of. An order's first install is generation 1."""

    install_id: InstallId
    order_id: OrderId
    generation: Generation


class SiteSpec(Model):
    """The site to install."""

    site_type: SiteType
    url: str
    """Where it will answer; ends with a slash."""
    title: Line
    """What the site calls itself."""
    locale: Locale | None = None
    """The language of the site and of its letters; the application's own if not given."""
    timezone: TimeZone | None = None
    """The site's time zone; the application's own if not given."""
    permalinks: Permalinks | None = None
    """The structure of the addresses of its pages; the application's own if not given."""


class InstallStaged(InstallRef):
    """An install waits for its time: at once after the order, or again after a failed attempt."""

    attempt: Attempt = 1
    max_attempts: Attempt | None = None
    """How many attempts there will be at most."""
    due_at: Moment
    """Not before this time, RFC 3339."""
    site: SiteSpec
    account: AccountRef
    customer: Customer
    cause: Cause | None = None
    """Why the attempt before this one failed."""


class InstallStarted(InstallRef):
    """A worker took the install."""

    attempt: Attempt
    max_attempts: Attempt | None = None
    """How many attempts there will be at most."""
    worker: str
    """Which one, for people to find its log."""


class ApplicationLogin(Model):
    """The credentials of the installed application; the password is sealed to the mailer."""

    login_url: str
    """The page to log in at."""
    username: str
    """The name to log in with."""
    sealed_password: SealedSecret


class InstallCompleted(InstallRef):
    """The site is installed and answered over HTTP."""

    attempt: Attempt
    site: SiteSpec
    application: str
    """What was installed, for people: `WordPress`."""
    version: str
    """The application's own version."""
    login: ApplicationLogin | None = None
    """Not there if the site has no login, as a static page has none."""
    account: AccountRef
    customer: Customer
    seconds: float
    """From claim to verified, in seconds."""


class InstallFailed(InstallRef):
    """The install failed for good; staff can retry it."""

    attempt: Attempt
    max_attempts: Attempt | None = None
    """How many attempts there were to be at most."""
    cause: Cause
    next: Line | None = None
    """What happens next, for people."""


class InstallCancelled(InstallRef):
    """The install was taken back before it ran, and will not run."""

    reason: Line
    """As given by whoever cancelled it."""


class InstallCancel(Model):
    """Command: do not run this install. Refused once it is installing or installed."""

    install_id: InstallId
    reason: Line = "cancelled by staff"
    """Shown beside the install."""


class InstallRetry(Model):
    """Command: run a failed install again, or a staged one at the next tick."""

    install_id: InstallId


class TimerRunNow(Model):
    """Command: one installer replica starts a batch now, without waiting for its tick."""


class CommandRefused(Model):
    """A command was understood and not carried out, by the service that it is for."""

    command_id: str
    """The `id` of the command's event."""
    install_id: InstallId | None = None
    """The install that the command spoke of, if it did."""
    order_id: OrderId | None = None
    """The order that the command spoke of, if it did."""
    cause: Cause
