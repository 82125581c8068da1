"""The command that asks services to describe themselves, and its answer."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import Line, Model, SiteType


class ServiceDescribe(Model):
    """Command: one replica of each service answers with `service.described`."""


class ServiceDescribed(Model):
    """A replica's version and its most important settings."""

    service: Line
    """`order-intake`, `installer` or `mailer`."""
    instance: Line
    """Which replica answered: `<host>/<process id>`."""
    version: Line
    """The version of Sitecrew that it runs."""
    started_at: Moment
    """When it started."""
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    """The maximum number of attempts for an account, an install or an email."""
    site_types: tuple[SiteType, ...] = ()
    """The site types in its settings."""
    timer: Line | None = None
    """The timer's cron expression; from the installer only."""
    timezone: Line | None = None
    """The time zone of that expression."""
    next_tick: Moment | None = None
    """When this replica starts its next batch."""
