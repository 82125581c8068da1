"""The format of a service's log lines: one JSON object per line. Each field keeps its type for ever, as log collectors
need it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.envelope import Moment

_Name = Annotated[str, Field(pattern=r"^[a-z_]+(\.[a-z_]+)+$")]


class LogLine(BaseModel):
    """One line. Fields that do not apply are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    timestamp: Moment
    level: Literal["debug", "info", "warning", "error", "critical"]
    event: _Name
    """What happened, as a stable name: `install.completed`. `library.said` for lines of libraries."""
    service: str
    """The service that wrote it: `order-intake`, `installer`, `mailer`."""
    version: str
    """The version of Sitecrew."""

    trace_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """The trace that the producer started (W3C Trace Context), or that we did."""
    order_id: str | None = None
    """The order's id, as the producer sent it."""
    authtype: str | None = None
    """The kind of principal that caused what is being handled, as its sender claims."""
    authid: str | None = None
    """The principal's name, as its sender claims."""
    install_id: str | None = None
    attempt: int | None = None
    """The number of the attempt at an install or an email; the first is 1."""
    queue: str | None = None
    """The queue of the message that is being handled."""
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
    """The id of a message, or of the last of several similar ones."""
    messages: int | None = None
    """How many similar messages this line is about."""
    exchange: str | None = None
    outcome: str | None = None
    """The broker's answer to a message: `refused`, `unroutable`, `unknown`."""
    sent_by: str | None = None
    """The source of a malformed event."""
    connection: str | None = None
    """Which of a service's connections: the queue's name, or `publisher`."""
    node: str | None = None
    """A node of the broker: host:port."""

    producer: str | None = None
    """The producer of orders: its user on the broker, or else the source of its events."""
    per_minute: int | None = None
    """How many orders a producer may place in a minute."""
    server: str | None = None
    """A hosting server, by its name in the settings."""
    site_type: str | None = None
    username: str | None = None
    """The user name of a hosting account."""
    url: str | None = None
    due_at: Moment | None = None
    owner: str | None = None
    """The worker that held the lease on an install."""
    path: str | None = None
    """The path of a file or directory on a hosting server."""
    skew_seconds: float | None = None
    """How far this machine's clock is ahead of the database's."""
    staged: str | None = None
    """The URL that an install was staged for."""
    program: str | None = None
    """A program that ran as a customer."""
    processes: int | None = None
    """How many processes it left behind."""
    step: str | None = None
    """A step of an install."""
    number: int | None = None
    """How often something has happened before, or since the last such line."""
    turns: int | None = None
    """How many runs of the worker a batch took."""
    late_seconds: float | None = None
    """How late a batch began."""

    webhook: str | None = None
    """The id of a webhook."""
    store: str | None = None
    """The database's URL, without its password."""
    port: int | None = None
    probe: str | None = None
    task: str | None = None
    broken: list[str] | None = None
    """The types of the errors that ended a service."""
    lines: int | None = None
    """How many log lines could not be written."""
    logger: str | None = None
    """The name of a library's logger."""
    said: str | None = None
    """The text of a library's log line."""


EVENTS: dict[str, str] = {
    "alerts.not_sent": "An email about what needs staff was given up after a day; the console shows what it told of.",
    "alerts.sent": "Staff were sent an email about what needs them.",
    "account.created": "Order intake created a hosting account, and staged its first install.",
    "account.failed": "An account could not be created; the order waits for staff.",
    "account.put_off": "An account waits for capacity on its server; the next attempt is at `due_at`.",
    "act.abandoned": "The service is stopping and no longer waits for work that is past its deadline; another replica"
    " takes it over.",
    "act.unexpected": "An unexpected error occurred while work was done in the outside world; the traceback says where."
    " The work is retried or fails like any other. Please report it.",
    "batch.finished": "A batch of the timer has ended, with how long it took and how late it began.",
    "batch.interrupted": "A batch ended early because the broker or the database went away; the next one continues.",
    "broker.channel_closed": "RabbitMQ closed a channel, and `reason` says why. The service reconnects.",
    "broker.cut_off": "A node of RabbitMQ does not reach a majority of its cluster: it confirms and delivers nothing."
    " The connection goes on at another node, if `amqp_url` names one. `number` is how often that was so in a row.",
    "broker.disconnected": "A connection to RabbitMQ was lost or could not be opened. The service keeps trying to"
    " reconnect. Logged at once for each new reason, then at most every 30 s; `number` is how often it has happened"
    " since the last line.",
    "broker.not_probed": "RabbitMQ does not let us ask whether a node reaches a majority of its cluster, and"
    " `reason` says why: the queue `probe` is missing, or our user may not read it. Import the definitions again.",
    "http.listening": "The HTTP API and the console accept requests.",
    "periodic.failed": "A periodic task failed; it runs again at its next time.",
    "projection.gap": "A queue of the API was gone from RabbitMQ, and events with it. The services have been asked to"
    " tell of their rows again.",
    "projection.skipped": "An event could not be written into the API's database; a rebuild heals that.",
    "projection.unreadable": "The API passed over a message that is no valid event; whoever it was for parks it.",
    "sweep.failed": "A recovery sweep failed on an order. It has looked at the others, and tries again.",
    "command.refused": "Staff asked for something that is not possible in the current state; they were told why.",
    "clock.skewed": "This machine's clock differs from the database's, which leases go by. Synchronize this machine's"
    " clock.",
    "domain.given_back": "The domain of an order that never became a site can be ordered again.",
    "domain.kept": "A domain could not be released now; it is tried again later.",
    "health.broken": "An unexpected error occurred while a health request was answered.",
    "health.failed": "A probe of /livez or /readyz failed.",
    "health.listening": "Health checks and metrics are served on this port.",
    "image.given_up": "No image of WordPress could be made, for the stated reason; sites are installed step by step,"
    " and it is tried again some minutes later.",
    "image.not_used": "A site is installed step by step, for the stated reason, and not copied from an image.",
    "image.ready": "An image of WordPress was made, or found from an earlier run; sites are copied from it.",
    "install.address_changed": "By the current settings, a site has a different URL than when it was staged; it is"
    " installed at the new one.",
    "install.announced_again": "No news of an install came in time, so order intake published it again.",
    "install.cancelled": "An install was cancelled before its site was served.",
    "install.completed": "A site is installed and answered over HTTP.",
    "install.completed_again": "The mailer had not answered for an installed site, so the installer published the event"
    " again.",
    "install.failed": "An install failed for good; it waits for staff, with a remedy.",
    "install.lost_its_lease": "A worker finished an install after another had taken it over; its result was dropped.",
    "install.overdue": "An install's message did not arrive in time, so it was put into the queue again.",
    "install.resolved": "Staff marked a failed install as dealt with by hand.",
    "install.retried_by_staff": "Staff retried an install.",
    "install.retry": "An attempt failed; the next one is due at `due_at`.",
    "install.step": "A step of an install began.",
    "install.step_done": "A step of an install ended.",
    "install.waiting": "An install waits for something that no attempt can bring about; `cause` says what.",
    "install.worker_lost": "A worker stopped renewing its lease, so another one takes over its install.",
    "library.said": "A library that Sitecrew uses logged the text in `said`.",
    "log.lines_dropped": "Earlier log lines could not be written: the disk was full, or the reader was stuck or gone.",
    "mail.amended": "A customer's email address was corrected; emails go to the new one.",
    "mail.failed": "An email failed for good; it waits for staff, with a remedy.",
    "mail.held": "An email waits until `due_at`, because its address has reached the limit of emails per hour.",
    "mail.outdated": "An email was not sent, because a newer install has replaced the site it is about.",
    "mail.reopened": "An email whose secrets could not be opened is tried again, now that the key is available.",
    "mail.resend": "Staff had an email sent again.",
    "mail.sent": "The mail server accepted an email.",
    "message.dead_lettered": "RabbitMQ parked a message that was delivered too often and never settled.",
    "message.parked": "A message that can't be handled was set aside, with the reason; see `sitecrew parked list`.",
    "message.retry": "A message will be delivered again later.",
    "message.unexpected": "An unexpected error occurred while a message was handled; the message was parked. Please"
    " report it.",
    "order.amended": "Staff corrected an order's customer.",
    "order.not_configured": "An order names a server or site type that the settings no longer have.",
    "order.rejected": "An order was rejected; the event `order.rejected` told its producer why.",
    "order.retried": "Staff had the account of a failed order tried again.",
    "order.withdrawn": "An order was cancelled; its installs that have not begun will not run.",
    "order.woken": "An accepted order had no account and no message any more, so it was put into its queue again.",
    "orders.limited": "A producer has reached its limit of orders per minute; further ones wait their turn.",
    "outbox.kept": "RabbitMQ did not accept messages; they stay in the outbox and are published again.",
    "program.survivors": "A customer's program had left processes behind, which were killed.",
    "replay.finished": "A service has told of all its rows once more; `number` is how many.",
    "server.closed": "Installs begin on a server again.",
    "server.opened": "A server has failed too often in a row: no install begins there until one gets through.",
    "server.paused": "Staff paused a server: no install begins there.",
    "service.broken": "A loop of the service failed. The service stops, so that its supervisor restarts it.",
    "service.started": "The service has reached its broker and database, and is working.",
    "service.stopped": "The service has finished what it had begun, and ended. `reason` is the signal that told it to;"
    " without one it is an error, and the exit code is 1.",
    "service.waiting": "The service can't reach its broker or database at start, and keeps trying.",
    "site.cache_kept": "A cache of the application could not be cleared after a site was rolled back.",
    "site.leftovers_kept": "Files that an earlier run left behind could not be removed now; the next install tries"
    " again.",
    "site_type.configured": "Staff changed how installs of a site type are handled; the event says how.",
    "site_type.not_configured": "A site type in the settings can't be installed here; `reason` says why.",
    "store.conflict": "Two transactions conflicted (such as a deadlock), and one is retried.",
    "store.unreachable": "The database does not answer; work waits until it does.",
    "timer.paused": "Staff paused the timer: no batch begins.",
    "timer.resumed": "Staff resumed the timer.",
    "topology.declared_again": "A message was unroutable, so exchanges and queues were declared again.",
    "topology.not_declared": "A message was unroutable, and declaring exchanges and queues again failed, or only an"
    " administrator may; the message stays in the outbox.",
    "webhook.dead": "An event could not be posted to a webhook for three days, and is given up; it can be redelivered.",
    "webhook.disabled": "A webhook was disabled, because its receiver wants no more events (410 Gone).",
    "webhook.failed": "An event could not be posted to a webhook; `reason` says why. The next attempt is at `due_at`.",
}
"""Every event that Sitecrew logs, with its meaning. docs/log-events.md is generated from this table."""
