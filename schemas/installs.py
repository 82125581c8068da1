"""Events about installs, and the commands with which staff control them."""

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

Attempt = Annotated[int, Field(ge=1, le=10_000, description="The number of the attempt; the first is 1.")]


class InstallRef(Model):
    """Which install an event is about. An order's first install is generation 1."""

    install_id: InstallId
    order_id: OrderId
    generation: Generation


class SiteSpec(Model):
    """The site to install."""

    site_type: SiteType
    url: str
    """Where it will answer; ends with a slash."""
    title: Line
    """The site's title."""
    locale: Locale | None = None
    """The language of the site and of its emails; the application's default if not given."""
    timezone: TimeZone | None = None
    """The site's time zone; the application's default if not given."""
    permalinks: Permalinks | None = None
    """The permalink structure of its pages; the application's default if not given."""


class InstallStaged(InstallRef):
    """An install is waiting for its time: after the order, or again after a failed attempt."""

    attempt: Attempt = 1
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    due_at: Moment
    """The earliest time at which it may begin, RFC 3339."""
    site: SiteSpec
    account: AccountRef
    customer: Customer
    cause: Cause | None = None
    """Why the attempt before this one failed."""


class InstallStarted(InstallRef):
    """A worker started the install."""

    attempt: Attempt
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    worker: str
    """The worker's name, for people to find its log."""


class ApplicationLogin(Model):
    """The credentials of the installed application; the password is sealed to the mailer."""

    login_url: str
    """The login page."""
    username: str
    """The user name to log in with."""
    sealed_password: SealedSecret


class InstallCompleted(InstallRef):
    """The site is installed and answered over HTTP."""

    attempt: Attempt
    site: SiteSpec
    application: str
    """The name of the application, for people: `WordPress`."""
    version: str
    """The application's own version."""
    login: ApplicationLogin | None = None
    """Absent if the site has no login, like a static page."""
    account: AccountRef
    customer: Customer
    seconds: float
    """Time from claim to verification, in seconds."""


class InstallFailed(InstallRef):
    """The install failed for good; staff can retry it."""

    attempt: Attempt
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    cause: Cause
    next: Line | None = None
    """What happens next, for people."""


class InstallCancelled(InstallRef):
    """The install was cancelled before it began, and will not run."""

    reason: Line
    """The reason that was given."""


class InstallCancel(Model):
    """Command: do not run this install. Refused once it is installing or installed."""

    install_id: InstallId
    reason: Line = "cancelled by staff"
    """Shown with the install."""


class InstallRetry(Model):
    """Command: run a failed install again, or a staged one at the next tick."""

    install_id: InstallId


class TimerRunNow(Model):
    """Command: start a batch now, in one installer replica, without waiting for the next tick."""


class CommandRefused(Model):
    """A service understood a command, but did not carry it out."""

    command_id: str
    """The `id` of the command."""
    install_id: InstallId | None = None
    """The install that the command named, if any."""
    order_id: OrderId | None = None
    """The order that the command named, if any."""
    cause: Cause
