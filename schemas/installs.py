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
    Model,
    OrderId,
    SealedSecret,
    SiteType,
)

Attempt = Annotated[int, Field(ge=1, le=10_000)]
"""1 for the first try of an install."""


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


class InstallStaged(InstallRef):
    """An install waits for its time: at once after the order, or again after a failed attempt."""

    attempt: Attempt = 1
    due_at: Moment
    site: SiteSpec
    account: AccountRef
    customer: Customer
    cause: Cause | None = None
    """Why the attempt before this one failed."""


class InstallStarted(InstallRef):
    """A worker took the install."""

    attempt: Attempt
    worker: str


class ApplicationLogin(Model):
    """The credentials of the installed application; the password is sealed to the mailer."""

    login_url: str
    username: str
    sealed_password: SealedSecret


class InstallCompleted(InstallRef):
    """The site is installed and answered over HTTP."""

    attempt: Attempt
    site: SiteSpec
    application: str
    version: str
    login: ApplicationLogin | None = None
    account: AccountRef
    customer: Customer
    seconds: float
    """From claim to verified, in seconds."""


class InstallFailed(InstallRef):
    """The install failed for good; staff can retry it."""

    attempt: Attempt
    cause: Cause


class InstallCancelled(InstallRef):
    """The install was taken back before it ran, and will not run."""

    reason: Line


class InstallCancel(Model):
    """Command: do not run this install. Refused once it is installing or installed."""

    install_id: InstallId
    reason: Line = "cancelled by staff"


class InstallRetry(Model):
    """Command: run a failed install again, or a staged one at the next tick."""

    install_id: InstallId


class TimerRunNow(Model):
    """Command: one installer replica starts a batch now, without waiting for its tick."""


class CommandRefused(Model):
    """A command was understood and not carried out; by the installer, or by the mailer for letters."""

    command_id: str
    install_id: InstallId | None = None
    cause: Cause
