"""Orders, installs and emails as the command sees them, from whichever office. What an office does not know is None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from foundation.clock import exact
from schemas.services import ServerStatus
from schemas.values import Cause, Customer
from services.installer.history import Entry
from services.installer.states import MailState, State
from services.installer.upcoming import what_next
from services.mailer.states import State as LetterState


@dataclass(frozen=True, kw_only=True)
class InstallSeen:
    """One install."""

    install_id: str
    order_id: str
    generation: int
    domain: str
    site_type: str
    server: str
    state: State
    current_attempt: int
    """The attempt that comes next while it is staged; else the last one."""
    max_attempts: int | None = None
    attempts_before: int = 0
    """How many there were before staff had it tried again."""
    due_at: datetime | None = None
    begins_at: datetime | None = None
    """When the batch begins that takes it, while it is staged."""
    waiting_for: str | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    """When it fails if it still waits."""
    ends_as: State | None = None
    """What it becomes once it is known what its worker leaves; None if it is not to end."""
    cause: Cause | None = None
    reason: str | None = None
    mail_state: MailState | None = None
    """None as long as it is not installed."""
    mail_cause: Cause | None = None
    staged_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    url: str | None = None
    title: str | None = None
    username: str | None = None
    address: str | None = None
    customer: Customer | None = None
    application: str | None = None
    version: str | None = None
    login_url: str | None = None
    login_username: str | None = None
    history: Sequence[Entry] = ()

    @property
    def letter_failed(self) -> bool:
        return self.state == State.INSTALLED and self.mail_state == MailState.FAILED

    def record(self) -> dict[str, Any]:
        """Return it as JSON shows it: everything but what is sealed."""
        plain = ("install_id", "order_id", "generation", "domain", "site_type", "server", "state")
        tried = ("max_attempts", "attempts_before", "due_at")
        moved = ("staged_at", "started_at", "finished_at", "lease_owner", "lease_until")
        return {
            **_named(self, plain),
            "attempt": self.current_attempt,
            **_named(self, tried),
            "next_attempt_at": self.begins_at,
            "next": what_next(self) or None,
            **_named(self, ("waiting_for", "waiting_until")),
            "cause": plain_cause(self.cause),
            "reason": self.reason,
            "mail": {"state": self.mail_state, "cause": plain_cause(self.mail_cause)},
            **_named(self, (*moved, "url", "title", "username", "address")),
            "customer": self.customer.model_dump(mode="json") if self.customer else None,
            **_named(self, ("application", "version")),
            "login": {"url": self.login_url, "username": self.login_username} if self.login_url else None,
            "history": [entry.model_dump(mode="json", exclude_none=True) for entry in self.history],
        }


@dataclass(frozen=True, kw_only=True)
class OrderSeen:
    """One order."""

    order_id: str
    source: str
    """Who placed it: the event's `source`, and the broker's user if that is vouched for."""
    state: str
    """As order intake has it, or `placed` or `rejected` if it has not accepted the order."""
    site_type: str | None = None
    domain: str | None = None
    title: str | None = None
    server: str | None = None
    username: str | None = None
    tries: int | None = None
    tries_before: int = 0
    customer: Customer | None = None
    address: str | None = None
    control_panel: str | None = None
    cause: Cause | None = None
    next: str = ""
    """What happens next while it has no install; empty if nothing does."""
    generation: int = 0
    """How many installs there have been."""
    install_state: str | None = None
    """Of the newest install."""
    cancel_reason: str | None = None
    priority: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def shown_cause(self) -> Cause | None:
        """Why it is not created; None once it is."""
        return self.cause if self.state in {"accepted", "failed", "rejected"} else None

    def told_state(self) -> str:
        """Return its state for people: what failed is its account."""
        return "account failed" if self.state == "failed" else self.state

    def without_install(self) -> str:
        """Return why it has no install."""
        cause = f": {self.cause.code}: {self.cause.detail}" if self.cause else ""
        state = f"its account has failed{cause}" if self.state == "failed" else f"it is {self.state}{cause}"
        return f"order {self.order_id} has no install yet: {state}. See `sitecrew order show {self.order_id}`"

    def record(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        named = ("order_id", "source", "state", "site_type", "domain", "title", "server", "username")
        later = ("generation", "install_state", "cancel_reason", "priority", "created_at", "updated_at")
        return {
            **_named(self, (*named, "tries", "tries_before")),
            "customer": self.customer.model_dump(mode="json") if self.customer else None,
            "address": self.address,
            "cause": plain_cause(self.cause),
            "next": self.next or None,
            **_named(self, later),
        }


@dataclass(frozen=True, kw_only=True)
class MailSeen:
    """The welcome email of one install."""

    install_id: str
    order_id: str
    recipient: str
    state: LetterState
    domain: str | None = None
    attempt: int | None = None
    resends: int = 0
    created_at: datetime | None = None
    due_at: datetime | None = None
    """When it is tried next, while it waits."""
    sent_at: datetime | None = None
    message_id: str | None = None
    cause: Cause | None = None
    next: str = ""
    """What happens next; empty if nothing does."""
    customer: Customer | None = None
    site_type: str | None = None
    url: str | None = None
    locale: str | None = None

    def record(self) -> dict[str, Any]:
        """Return it as JSON shows it: everything but what is sealed."""
        named = ("install_id", "order_id", "recipient", "domain", "state", "attempt", "resends", "created_at")
        later = ("due_at", "sent_at", "message_id")
        return {**_named(self, (*named, *later)), "cause": plain_cause(self.cause)}


@dataclass(frozen=True)
class Story:
    """An order with its installs, the first first, and their emails by install. `order` is None if only installs are
    known."""

    order: OrderSeen | None
    installs: Sequence[InstallSeen]
    mails: Mapping[str, MailSeen]
    history: Sequence["LineSeen"] | None = None
    """What happened and was asked for, the first first; None where only the installs' own histories are known."""


@dataclass(frozen=True, kw_only=True)
class LineSeen:
    """One line of the activity log."""

    id: int
    at: datetime
    kind: str
    order_id: str | None = None
    install_id: str | None = None
    actor_type: str | None = None
    actor: str | None = None
    source: str = ""
    detail: str = ""
    cause: Cause | None = None
    trace_id: str | None = None

    def fits(self, question: Any) -> bool:
        """Whether it is among the lines that an ActivityQuestion asks for."""
        return (
            question.order_id in {"", self.order_id}
            and question.actor in {"", self.actor}
            and (not question.kinds or self.kind in question.kinds)
        )

    def record(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {**vars(self), "cause": plain_cause(self.cause)}


@dataclass(frozen=True)
class ServiceSeen:
    """One process of a service."""

    instance: str
    version: str
    started_at: datetime
    record: Mapping[str, Any]
    """All that it says of itself, as JSON shows it."""
    is_lost: bool = False
    """Whether it has been silent for too long."""


@dataclass(frozen=True)
class Need:
    """Things of one kind that failed with the same cause."""

    kind: str
    """`service`, `account`, `install`, `email`, `parked message` or `unrouted message`."""
    code: str
    server: str
    """Where it happened; empty if that does not matter."""
    number: int
    remedy: str
    command: str
    """The command that retries all of them once the cause is fixed, or that lists them."""


@dataclass(frozen=True)
class AlertSeen:
    """Something that staff were told of."""

    state: str
    """`raised` or `recovered`."""
    headline: str
    since: datetime
    command: str | None
    """The command that shows it, or mends it."""

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {**_named(self, ("state", "headline", "command")), "since": moment(self.since)}


Counts = Mapping[str, int]
"""How many there are in each state."""


@dataclass(frozen=True)
class Overview:
    """The state of everything."""

    services: Mapping[str, ServiceSeen | None]
    """None for one that does not answer."""
    counts: Mapping[str, Counts]
    """Of orders, installs and mails."""
    parked: int | None
    needs: Sequence[Need]
    alerts: Sequence[AlertSeen] | None = None
    """Those that are raised, and those that recovered lately; None if nobody looks for any."""
    next_batch_at: datetime | None = None
    paused_since: datetime | None = None
    unreachable: Exception | None = None
    """Why services and parked messages are unknown."""


@dataclass(frozen=True)
class TimerSeen:
    """When batches begin."""

    every: str
    timezone: str
    source: str
    """The installer that says so; empty if none answers, and it is only what some settings have."""
    whose: str
    """Whose settings those are: `the settings here`."""
    ticks: Sequence[datetime]
    next_tick: datetime | None = None
    paused_since: datetime | None = None
    budget: str = ""
    """How long a batch begins installs, for people; empty if unknown."""


@dataclass(frozen=True)
class ServerSeen:
    """One hosting server."""

    name: str
    is_default: bool
    driver: str
    address: str
    web_address: str
    has_databases: bool
    status: ServerStatus | None
    """How it stands; None if that is unknown."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """What JSON shows besides."""


@dataclass(frozen=True)
class SiteTypeSeen:
    """One site type."""

    name: str
    sold: bool
    installer: str
    settle_seconds: float
    address: str
    stage: bool
    welcome_email: bool
    overrides: Sequence[str] = ()
    """Which of `stage` and `welcome_email` staff have set."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """What JSON shows besides."""


def plain_cause(cause: Cause | None) -> dict[str, Any] | None:
    """Return a cause as JSON shows it."""
    return cause.model_dump(mode="json") if cause else None


def moment(at: datetime | None) -> str | None:
    """Return a moment as JSON shows it."""
    return exact(at) if at else None


def _named(seen: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in names}
