"""The table of all events and commands: type name, model, exchange.

The routing key is the type's name without `sitecrew.`: bind to `install.completed.*` for all versions of one event, or
to `install.#` for everything that happens to installs.
"""

from dataclasses import dataclass
from functools import cached_property

from schemas.accounts import AccountCreated, AccountFailed, AccountRetrying
from schemas.alerts import AlertRaised, AlertRecovered, MailAlerts
from schemas.envelope import Event
from schemas.installs import (
    CommandRefused,
    InstallCancel,
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallProgress,
    InstallResolve,
    InstallResolved,
    InstallRetry,
    InstallStaged,
    InstallStarted,
    InstallWaiting,
    TimerPause,
    TimerPaused,
    TimerResume,
    TimerResumed,
    TimerRunNow,
)
from schemas.mails import (
    MailFailed,
    MailPreview,
    MailResend,
    MailSent,
    MailSuppressed,
    MailWaiting,
    PreviewRendered,
)
from schemas.orders import (
    OrderAccepted,
    OrderAmend,
    OrderAmended,
    OrderCancel,
    OrderCancelled,
    OrderKnown,
    OrderPlaced,
    OrderReinstall,
    OrderReinstallRequested,
    OrderRejected,
    OrderRetry,
    OrderWithdrawn,
)
from schemas.servers import ServerClosed, ServerOpened, ServerPause, ServerResume
from schemas.services import (
    MessagePurged,
    MessageRequeued,
    ServiceDescribe,
    ServiceDescribed,
    ServiceHeartbeat,
    ServiceReplay,
    ServiceReplayed,
    SiteTypeConfigure,
    SiteTypeConfigured,
)
from schemas.values import Model

PREFIX = "sitecrew."


@dataclass(frozen=True)
class EventType:
    """One row of the catalogue."""

    name: str
    model: type[Model]
    exchange: str

    @property
    def routing_key(self) -> str:
        return self.name.removeprefix(PREFIX)

    @property
    def published(self) -> bool:
        """Whether Sitecrew publishes it; all other types are sent to Sitecrew."""
        return self.exchange == "events"

    @cached_property
    def envelope(self) -> type[Event[Model]]:
        return Event[self.model]  # type: ignore[name-defined]  # the parameter is a value here


CATALOGUE = (
    EventType("sitecrew.order.placed.v1", OrderPlaced, "orders"),
    EventType("sitecrew.order.reinstall_requested.v1", OrderReinstallRequested, "orders"),
    EventType("sitecrew.order.cancelled.v1", OrderCancelled, "orders"),
    EventType("sitecrew.order.accepted.v1", OrderAccepted, "events"),
    EventType("sitecrew.order.rejected.v1", OrderRejected, "events"),
    EventType("sitecrew.order.known.v1", OrderKnown, "events"),
    EventType("sitecrew.order.amended.v1", OrderAmended, "events"),
    EventType("sitecrew.order.withdrawn.v1", OrderWithdrawn, "events"),
    EventType("sitecrew.order.cancel.v1", OrderCancel, "commands"),
    EventType("sitecrew.order.reinstall.v1", OrderReinstall, "commands"),
    EventType("sitecrew.order.amend.v1", OrderAmend, "commands"),
    EventType("sitecrew.order.retry.v1", OrderRetry, "commands"),
    EventType("sitecrew.account.created.v1", AccountCreated, "events"),
    EventType("sitecrew.account.retrying.v1", AccountRetrying, "events"),
    EventType("sitecrew.account.failed.v1", AccountFailed, "events"),
    EventType("sitecrew.install.staged.v1", InstallStaged, "events"),
    EventType("sitecrew.install.waiting.v1", InstallWaiting, "events"),
    EventType("sitecrew.install.started.v1", InstallStarted, "events"),
    EventType("sitecrew.install.progress.v1", InstallProgress, "events"),
    EventType("sitecrew.install.completed.v1", InstallCompleted, "events"),
    EventType("sitecrew.install.failed.v1", InstallFailed, "events"),
    EventType("sitecrew.install.cancelled.v1", InstallCancelled, "events"),
    EventType("sitecrew.install.resolved.v1", InstallResolved, "events"),
    EventType("sitecrew.install.cancel.v1", InstallCancel, "commands"),
    EventType("sitecrew.install.retry.v1", InstallRetry, "commands"),
    EventType("sitecrew.install.resolve.v1", InstallResolve, "commands"),
    EventType("sitecrew.timer.run_now.v1", TimerRunNow, "commands"),
    EventType("sitecrew.timer.pause.v1", TimerPause, "commands"),
    EventType("sitecrew.timer.resume.v1", TimerResume, "commands"),
    EventType("sitecrew.timer.paused.v1", TimerPaused, "events"),
    EventType("sitecrew.timer.resumed.v1", TimerResumed, "events"),
    EventType("sitecrew.server.pause.v1", ServerPause, "commands"),
    EventType("sitecrew.server.resume.v1", ServerResume, "commands"),
    EventType("sitecrew.server.opened.v1", ServerOpened, "events"),
    EventType("sitecrew.server.closed.v1", ServerClosed, "events"),
    EventType("sitecrew.mail.resend.v1", MailResend, "commands"),
    EventType("sitecrew.mail.preview.v1", MailPreview, "commands"),
    EventType("sitecrew.mail.alerts.v1", MailAlerts, "commands"),
    EventType("sitecrew.alert.raised.v1", AlertRaised, "events"),
    EventType("sitecrew.alert.recovered.v1", AlertRecovered, "events"),
    EventType("sitecrew.command.refused.v1", CommandRefused, "events"),
    EventType("sitecrew.mail.waiting.v1", MailWaiting, "events"),
    EventType("sitecrew.mail.suppressed.v1", MailSuppressed, "events"),
    EventType("sitecrew.mail.sent.v1", MailSent, "events"),
    EventType("sitecrew.mail.failed.v1", MailFailed, "events"),
    EventType("sitecrew.preview.rendered.v1", PreviewRendered, "events"),
    EventType("sitecrew.service.describe.v1", ServiceDescribe, "commands"),
    EventType("sitecrew.service.described.v1", ServiceDescribed, "events"),
    EventType("sitecrew.service.heartbeat.v1", ServiceHeartbeat, "events"),
    EventType("sitecrew.service.replay.v1", ServiceReplay, "commands"),
    EventType("sitecrew.service.replayed.v1", ServiceReplayed, "events"),
    EventType("sitecrew.site_type.configure.v1", SiteTypeConfigure, "commands"),
    EventType("sitecrew.site_type.configured.v1", SiteTypeConfigured, "events"),
    EventType("sitecrew.message.requeued.v1", MessageRequeued, "events"),
    EventType("sitecrew.message.purged.v1", MessagePurged, "events"),
)

_BY_NAME = {entry.name: entry for entry in CATALOGUE}
_BY_MODEL = {entry.model: entry for entry in CATALOGUE}


def by_type(name: str) -> EventType | None:
    """Return the row for a type name; None if the type or its version is unknown."""
    return _BY_NAME.get(name)


def by_model(model: type[Model]) -> EventType:
    """Return the row for a model. Raises KeyError if the model is neither an event nor a command."""
    return _BY_MODEL[model]


def versions_of(name: str) -> list[str]:
    """Return the type names in the catalogue that differ from `name` in the version only."""
    stem = name.rpartition(".v")[0]
    return [entry.name for entry in CATALOGUE if stem and entry.name.rpartition(".v")[0] == stem]
