"""What a log line of a service looks like: one JSON object a line, and each name of one type for ever, as those
who collect logs need it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.envelope import Moment

_Name = Annotated[str, Field(pattern=r"^[a-z_]+(\.[a-z_]+)+$")]


class LogLine(BaseModel):
    """One line. What is not about it is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    timestamp: Moment
    level: Literal["debug", "info", "warning", "error", "critical"]
    event: _Name
    """What happened, as a stable name: `install.completed`. `library.said` for lines of libraries."""
    service: str
    """Who writes: `order-intake`, `installer`, `mailer`."""
    version: str
    """Of Sitecrew."""

    trace_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """The trace that the producer began (W3C Trace Context), or we did, if it did not."""
    order_id: str | None = None
    """As the producer sent it."""
    authtype: str | None = None
    """Who caused what is being handled, by kind; a claim of whoever sent it."""
    authid: str | None = None
    """Likewise, by name."""
    install_id: str | None = None
    attempt: int | None = None
    """Of an install or a letter; 1 is the first."""
    queue: str | None = None
    """From which the message came that is being handled."""
    duration_seconds: float | None = None

    cause: str | None = None
    """The code of a failure's cause: `db_down`."""
    code: str | None = None
    """Why a message was parked: `missing_field`."""
    reason: str | None = None
    """What went wrong, as a sentence."""
    remedy: str | None = None
    """What to do about it."""
    exception: list[dict[str, Any]] | None = None
    """A traceback, without the values of variables."""

    type: str | None = None
    """The type of an event."""
    message_id: str | None = None
    """Of a message, or of the last of several alike."""
    messages: int | None = None
    """How many alike this line is about."""
    exchange: str | None = None
    outcome: str | None = None
    """The broker's answer to a message: `refused`, `unroutable`, `unknown`."""
    sent_by: str | None = None
    """The source of an event that could not be read."""
    connection: str | None = None
    """Which of a service's connections: the queue's name, or `publisher`."""
    node: str | None = None
    """Of the broker: host:port."""

    producer: str | None = None
    """Who places orders: the broker's user, or else the source of the events."""
    per_minute: int | None = None
    """How many orders a producer may place in a minute."""
    server: str | None = None
    """A hosting server by its name in the settings."""
    site_type: str | None = None
    username: str | None = None
    """Of a hosting account."""
    url: str | None = None
    due_at: Moment | None = None
    owner: str | None = None
    """Who had the lease of an install."""
    path: str | None = None
    """Of a file or folder on a hosting server."""
    skew_seconds: float | None = None
    """How far this machine's clock is ahead of the database's."""
    staged: str | None = None
    """The address that an install was staged for."""
    program: str | None = None
    """That ran as a customer."""
    processes: int | None = None
    """How many it left behind."""
    step: str | None = None
    """Of an install."""
    number: int | None = None
    """How often something was said or sent before."""
    turns: int | None = None
    """Turns of the loop in a batch."""
    late_seconds: float | None = None
    """How late a batch began."""

    store: str | None = None
    """The database's address, without its password."""
    port: int | None = None
    probe: str | None = None
    chore: str | None = None
    broken: list[str] | None = None
    """The kinds of errors that ended a service."""
    lines: int | None = None
    """How many log lines could not be written."""
    logger: str | None = None
    """The library that speaks."""
    said: str | None = None
    """Its words."""
