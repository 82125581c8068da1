"""What a service says of itself when it is asked."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import Line, Model, SiteType


class ServiceDescribe(Model):
    """Command: one replica of each service answers with `service.described`."""


class ServiceDescribed(Model):
    """What a service is, and by which settings it works."""

    service: Line
    """`order-intake`, `installer` or `mailer`."""
    instance: Line
    """Which replica answered: `host/process id`."""
    version: Line
    """Sitecrew's own version there."""
    started_at: Moment
    """Since when it runs."""
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    """Of an account, an install or a letter, before it fails for good."""
    site_types: tuple[SiteType, ...] = ()
    """Those that it knows."""
    timer: Line | None = None
    """The cron expression of the batches, from the installer."""
    timezone: Line | None = None
    """The time zone of that expression."""
    next_tick: Moment | None = None
    """When this replica begins its next batch."""
