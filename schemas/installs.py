"""Events about installs, and the commands with which staff control them."""

from typing import Literal

from schemas.envelope import Moment
from schemas.values import (
    AccountRef,
    Attempt,
    Cause,
    Customer,
    Generation,
    InstallId,
    Line,
    Locale,
    Model,
    OrderId,
    Permalinks,
    Priority,
    SealedSecret,
    SiteType,
    TimeZone,
)


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
    priority: Priority | None = None
    """How urgent it is among those that wait; `normal` if not given."""


class InstallWaiting(InstallRef):
    """An install waits for something that no attempt can bring about. That uses up no attempt."""

    attempt: Attempt
    """The attempt that begins once it is there."""
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    waiting_for: Literal["capacity", "server", "dns", "tls"]
    """Its turn on a server that runs only so many at a time; a server that is paused or down; the domain's DNS entry;
    a certificate."""
    since: Moment
    """Since when it waits for that, RFC 3339."""
    until: Moment | None = None
    """When it fails if it still waits; it does not if absent."""
    due_at: Moment | None = None
    """When it is looked at again; if absent, as soon as there is room."""
    cause: Cause
    """What is missing."""


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


class InstallProgress(InstallRef):
    """A step of an attempt has begun or has ended. Transient: it may be lost, and nothing follows from it."""

    attempt: Attempt
    step: Line
    """The step's name: `database`, `verify`."""
    seconds: float | None = None
    """How long it took; absent while it runs."""


class InstallCancelled(InstallRef):
    """The install was cancelled before its site was served, and will not run."""

    reason: Line
    """The reason that was given."""


class InstallResolved(InstallRef):
    """Staff have dealt with a failed install by hand: nothing more is to be done."""

    note: Line
    """What was done, as staff noted it."""


class InstallCancel(Model):
    """Command: do not run this install. A running one ends before its next step, and the answer
    comes once it has; refused once its site is served."""

    install_id: InstallId
    reason: Line = "cancelled by staff"
    """Shown with the install."""


class InstallRetry(Model):
    """Command: run a failed install again, or a staged one at the next tick."""

    install_id: InstallId


class InstallResolve(Model):
    """Command: mark a failed install as dealt with by hand. Refused in any other state."""

    install_id: InstallId
    note: Line
    """What was done, for whoever looks at it later."""


class TimerPause(Model):
    """Command: begin no batch until `timer.resume`, in any installer replica, and end one that is working. Running
    installs are finished."""

    reason: Line | None = None
    """Why, for whoever finds it paused."""


class TimerResume(Model):
    """Command: begin batches again, at the next tick."""


class TimerPaused(Model):
    """No batch begins until the timer is resumed."""

    since: Moment
    """When it was paused, RFC 3339."""
    reason: Line | None = None
    """Why, as staff said."""


class TimerResumed(Model):
    """Batches begin again, at the next tick."""


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
