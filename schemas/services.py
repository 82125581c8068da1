"""What services say of themselves, and the commands that ask them to, or configure them at run time."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import Cause, Line, Model, SiteType


class ServiceDescribe(Model):
    """Command: one replica of each service answers with `service.described`."""


class ServerStatus(Model):
    """How a hosting server stands."""

    name: Line
    """Its name in the settings."""
    state: Literal["closed", "open", "half-open", "paused"] = "closed"
    """`closed`: installs begin there. `open`: it has failed again and again, and none do; `half-open`: one is let
    through to try it. `paused`: staff are against it."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """How many installs may run there at a time; absent if there is no limit."""
    running: Annotated[int, Field(ge=0)] = 0
    """How many run."""
    waiting: Annotated[int, Field(ge=0)] = 0
    """How many wait, for whatever."""
    since: Moment | None = None
    """Since when it is not `closed`."""
    until: Moment | None = None
    """When it is tried again, or the pause ends."""
    cause: Cause | None = None
    """Why installs failed there last."""
    reason: Line | None = None
    """Why it is paused, as staff said."""


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
    paused_since: Moment | None = None
    """Since when the timer is paused; from the installer only."""
    servers: tuple[ServerStatus, ...] | None = None
    """How the hosting servers stand; from the installer only."""


class ServiceHeartbeat(Model):
    """A replica is alive. Sent every ten seconds; transient: it may be lost, and nothing follows from it."""

    service: Line
    """`order-intake`, `installer`, `mailer` or `api`."""
    instance: Line
    """Which replica: `<host>/<process id>`."""
    version: Line
    """The version of Sitecrew that it runs."""
    started_at: Moment
    """When it started."""
    queues: tuple[Line, ...] = ()
    """The queues that it consumes."""
    working_on: tuple[Line, ...] = ()
    """The orders or installs that it works on just now, a hundred at most."""
    next_tick: Moment | None = None
    """When it starts its next batch; from the installer only."""
    paused_since: Moment | None = None
    """Since when its timer is paused; from the installer only."""
    servers: tuple[ServerStatus, ...] | None = None
    """How the hosting servers stand; from the installer only."""


class ServiceReplay(Model):
    """Command: publish the state of every row again, as ordinary events marked `replay`, to the exchange `replays`.
    Ends with `service.replayed`."""

    after: str | None = None
    """Where to go on, in the order of keys; from the beginning if not given."""
    command_id: str | None = None
    """The `id` of the command that is gone on with. Services send it to themselves."""
    rows: Annotated[int, Field(ge=0)] = 0
    """How many rows were told of before. Services send it to themselves."""


class ServiceReplayed(Model):
    """A service has published the state of all its rows."""

    service: Line
    """Which service."""
    command_id: str
    """The `id` of the command."""
    rows: Annotated[int, Field(ge=0)]
    """How many rows it has told of."""


Switch = Literal["on", "off", "default"]


class SiteTypeConfigure(Model):
    """Command: change how installs of a site type are handled from now on, without a restart. `default` returns to what
    the settings say."""

    site_type: SiteType
    stage: Switch | None = None
    """Whether installs wait for the timer's batch; unchanged if not given."""
    welcome_email: Switch | None = None
    """Whether the welcome email is sent; unchanged if not given."""


class SiteTypeConfigured(Model):
    """How a service handles installs of a site type from now on."""

    service: Line
    """Which service says so: each keeps it for itself."""
    site_type: SiteType
    stage: bool
    """Whether installs wait for the timer's batch."""
    welcome_email: bool
    """Whether the welcome email is sent."""
    overrides: tuple[Literal["stage", "welcome_email"], ...] = ()
    """Which of them staff have set; the others are as the settings have them."""


class MessageRequeued(Model):
    """Staff have put a parked message back into its queue."""

    message_id: Line
    """The parked message's id."""
    queue: Line
    """Where it went."""
    order_id: Line | None = None
    """The order that it is about, if that could be read."""


class MessagePurged(Model):
    """Staff have discarded a parked message."""

    message_id: Line
    """The parked message's id."""
    order_id: Line | None = None
    """The order that it is about, if that could be read."""
