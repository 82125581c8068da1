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
    """Why a message was parked: `invalid`."""
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
    task: str | None = None
    broken: list[str] | None = None
    """The kinds of errors that ended a service."""
    lines: int | None = None
    """How many log lines could not be written."""
    logger: str | None = None
    """The library that speaks."""
    said: str | None = None
    """Its words."""


EVENTS: dict[str, str] = {
    "account.created": "Order intake created a hosting account, and staged its first install.",
    "account.failed": "An account could not be created; the order waits for staff, and its message is parked.",
    "account.put_off": "An account waits for room on its server; it is tried again at `due_at`.",
    "act.abandoned": "The service stops and leaves behind work that has not come back for longer than it may take;"
    " another replica takes it over.",
    "act.unexpected": "Something that nothing here foresees went wrong while work was done in the outside world; the"
    " traceback says where. The work is retried or fails like any other. Please report it.",
    "batch.finished": "A batch of the timer has ended, with how long it took and how late it began.",
    "batch.interrupted": "A batch ended early because broker or database went away; the next tick takes up the rest.",
    "broker.channel_closed": "RabbitMQ closed a channel; `reason` has its words. The connection is made anew.",
    "broker.disconnected": "A connection to RabbitMQ was lost or could not be made. It is retried until it stands. Told"
    " at once for each new reason, and then every 30 s at most; `number` is how often since the last line.",
    "periodic.failed": "A periodic task failed; it runs again at its next time.",
    "command.refused": "Staff asked for something that is not possible as things stand; they were told why.",
    "clock.skewed": "This machine's clock differs from the database's. Leases go by the database's; see to the clock.",
    "domain.given_back": "The domain of an order that never became a site is free again.",
    "domain.kept": "A domain could not be given back now; it is tried again later.",
    "health.broken": "A health request ended in an error of ours.",
    "health.failed": "A probe was asked and is not well: what /livez or /readyz answered.",
    "health.listening": "Health and metrics are served on this port.",
    "install.address_changed": "The settings make another address of a site than when it was staged; it is installed"
    " at the new one.",
    "install.announced_again": "Nothing was heard of an install in time, so order intake published it once more.",
    "install.cancelled": "An install was taken back before it began.",
    "install.completed": "A site is installed and answered over HTTP.",
    "install.completed_again": "The mailer had not answered for an installed site, so the installer said it again.",
    "install.failed": "An install failed for good; it waits for staff, with a remedy.",
    "install.lost_its_lease": "A worker finished an install after another had taken it over; its result was dropped.",
    "install.overdue": "An install's message did not come in time, so it was put into the queue again.",
    "install.retried_by_staff": "Staff had an install run again.",
    "install.retry": "An attempt failed; the install waits until `due_at` for its next one.",
    "install.step": "A step of an install began.",
    "install.step_done": "A step of an install ended.",
    "install.worker_lost": "A worker stopped renewing its lease, so its install is taken over.",
    "library.said": "A line of a library that Sitecrew uses, in `said`.",
    "log.lines_dropped": "Lines of this log could not be written before this one: a full disk, or a reader that was"
    " gone.",
    "mail.amended": "A customer's address was corrected; letters go to the new one.",
    "mail.failed": "A letter could not be sent and waits for staff, with a remedy.",
    "mail.held": "A letter waits until `due_at`, because its address has had as many letters as it may in an hour.",
    "mail.outdated": "A letter was not sent, because a newer install has replaced what it speaks of.",
    "mail.reopened": "A letter whose secrets could not be opened is tried again, now that its key is there.",
    "mail.resend": "Staff had a letter sent again.",
    "mail.sent": "The mail server took a letter.",
    "message.dead_lettered": "RabbitMQ parked a message that was handed out too often; nobody has dealt with it.",
    "message.parked": "A message that can't be handled was set aside, with the reason; see `sitecrew parked list`.",
    "message.retry": "A message will be delivered again later.",
    "message.unexpected": "Something that nothing here foresees went wrong while a message was handled; it was"
    " parked. Please report it.",
    "order.amended": "Staff corrected an order's customer.",
    "order.not_configured": "An order names a server or site type that the settings no longer have.",
    "order.rejected": "An order was rejected; the event `order.rejected` told its producer why.",
    "order.withdrawn": "An order was taken back; what of it is not yet installed will not be.",
    "order.woken": "An accepted order had no account and no message any more, so it was put into its queue again.",
    "orders.limited": "A producer has placed as many orders as it may in a minute; further ones wait their turn.",
    "outbox.kept": "RabbitMQ did not take messages; they stay in the outbox and are published again.",
    "program.survivors": "Processes that a customer's program had left behind were ended.",
    "service.broken": "A loop of the service ended in an error. The service stops, for its supervisor to restart it.",
    "service.started": "The service has reached broker and database, and works.",
    "service.stopped": "The service has finished what it had begun, and ended.",
    "service.waiting": "The service can't reach broker or database at start, and goes on trying.",
    "site.cache_kept": "A cache of the application could not be reset after a site was taken back.",
    "site.leftovers_kept": "What an earlier run left could not be removed now; the next install tries again.",
    "site_type.not_configured": "A site type of the settings can't be installed here, and why.",
    "store.conflict": "Two transactions stood in each other's way (a deadlock), and one is done again.",
    "store.unreachable": "The database does not answer; work waits until it does.",
    "topology.declared_again": "A message found no queue, so exchanges and queues were declared anew.",
    "topology.not_declared": "A message found no queue, and exchanges and queues could not be declared anew; it stays"
    " in the outbox.",
}
"""Every line that Sitecrew writes, by its name: what it means, for whoever reads it. Made into docs/log-events.md."""
