"""How far an order is, as its events tell it. What shows it (`order --wait`, `install watch`, the demonstration) only
decides how."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from foundation.clock import exact
from schemas.accounts import AccountCreated, AccountFailed, AccountRetrying
from schemas.envelope import Event
from schemas.installs import (
    CommandRefused,
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallRef,
    InstallStaged,
    InstallStarted,
    InstallWaiting,
)
from schemas.mails import MailFailed, MailSent, MailSuppressed, MailWaiting
from schemas.orders import OrderAccepted, OrderKnown, OrderReinstall, OrderReinstallRequested, OrderRejected
from schemas.values import AccountRef, Cause, Model
from sitecrew.cli.client.commands import UNKNOWN, refusal
from sitecrew.cli.output import times

_GOOD = ("installed", "mailed", "known")


@dataclass(frozen=True)
class OrderProgress:
    """How far one order is since an event about it was sent."""

    order_id: str
    event_id: str
    trace: str | None = None
    reinstall: bool = False
    unmailed: Collection[str] = ()
    """Site types without a welcome email: their orders end with the install."""
    state: str = "sent"
    ended: bool = False
    message: str = ""
    """What there is to say about the state, for people."""
    install_id: str | None = None
    account: AccountRef | None = None
    due_at: datetime | None = None
    completed: InstallCompleted | None = None
    url: str | None = None
    """Of the site, once it is installed."""
    cause: Cause | None = None

    @classmethod
    def of(cls, event: Event[Any], unmailed: Collection[str] = ()) -> "OrderProgress":
        """The progress that begins with this event about an order."""
        reinstall = isinstance(event.data, OrderReinstall | OrderReinstallRequested)
        return cls(event.data.order_id, event.id, event.trace_id, reinstall, unmailed)

    @property
    def succeeded(self) -> bool:
        return self.ended and self.state in _GOOD

    def after(self, event: Event[Any]) -> "OrderProgress":
        """The progress after one more event; itself if the event is about something else."""
        step = _STEPS.get(type(event.data))
        return step(self, event) if step and self._is_about(event) else self

    def known(self, placed_at: datetime, state: str, install_state: str | None, install_id: str | None) -> Self:
        """The progress of an order that was placed before."""
        how_far = install_state or state
        message = f"{self.order_id} was already placed at {exact(placed_at)} and is {how_far}; nothing was changed"
        goes_on = state != "cancelled" and how_far in (
            "accepted",
            "created",
            "staged",
            "waiting",
            "started",
            "installing",
        )
        told = "known" if how_far == "installed" else how_far
        return replace(self, state=told, install_id=install_id, message=message, ended=not goes_on)

    def failed(self, state: str, cause: Cause, upcoming: str | None = None) -> Self:
        """The progress of an order that ends for a cause."""
        after = f" Next: {upcoming}" if upcoming else ""
        message = f"{cause.code}: {cause.detail}. What to do: {cause.remedy}{after}"
        return replace(self, state=state, ended=True, cause=cause, message=message)

    def refused(self, cause: Cause) -> Self:
        """The progress of a command that is refused."""
        state = "unknown" if cause.code in UNKNOWN else "refused"
        return replace(self, state=state, cause=cause, message=refusal(cause), ended=True)

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        named = {name: getattr(self, name) for name in ("order_id", "event_id", "state", "install_id")}
        return {**named, "url": self.url, "cause": self.cause.model_dump(mode="json") if self.cause else None}

    def _is_about(self, event: Event[Any]) -> bool:
        """A re-install is recognized by the trace that our request began, then by its install's id: earlier
        generations of the same order may still emit events."""
        data = event.data
        if isinstance(data, OrderRejected | OrderKnown):
            return data.event_id == self.event_id
        if isinstance(data, CommandRefused):
            return data.command_id == self.event_id
        if not self.reinstall:
            return True
        if self.install_id is None:
            return isinstance(data, InstallStaged) and event.trace_id == self.trace
        return isinstance(data, InstallRef) and data.install_id == self.install_id


def message_of(event: Event[Any]) -> str:
    """What an event says on its own, without those before it; nothing if it takes no order further."""
    step = _STEPS.get(type(event.data))
    return step(OrderProgress(getattr(event.data, "order_id", None) or "", event.id), event).message if step else ""


def _accepted(progress: OrderProgress, event: Event[OrderAccepted]) -> OrderProgress:
    return replace(progress, state="accepted", message=f"{event.data.username} on {event.data.server}")


def _waits(progress: OrderProgress, event: Event[AccountRetrying] | Event[MailWaiting]) -> OrderProgress:
    """Another attempt follows: that changes nothing but what there is to say."""
    data = event.data
    message = due_again(data.due_at, event.time or data.due_at, data.attempt, data.max_attempts, data.cause)
    return replace(progress, cause=data.cause, message=message)


def _account_created(progress: OrderProgress, event: Event[AccountCreated]) -> OrderProgress:
    account = event.data.account
    return replace(
        progress, state="account created", account=account, message=f"{account.username} on {account.server}"
    )


def _staged(progress: OrderProgress, event: Event[InstallStaged]) -> OrderProgress:
    data = event.data
    message = due(data.due_at, event.time or data.due_at, data.attempt, data.max_attempts, data.cause)
    changed = replace(progress, install_id=data.install_id, due_at=data.due_at, cause=data.cause)
    return replace(changed, state="staged", message=message)


def _install_waits(progress: OrderProgress, event: Event[InstallWaiting]) -> OrderProgress:
    cause = event.data.cause
    changed = replace(progress, install_id=event.data.install_id, cause=cause, due_at=event.data.due_at)
    return replace(changed, state="waiting", message=f"{cause.code}: {cause.detail}")


def _started(progress: OrderProgress, event: Event[InstallStarted]) -> OrderProgress:
    return replace(progress, state="installing", message=attempt(event.data.attempt, event.data.max_attempts))


def _completed(progress: OrderProgress, event: Event[InstallCompleted]) -> OrderProgress:
    data = event.data
    ended = data.site.site_type in progress.unmailed
    message = answers(data.application, data.version, data.site.url, data.seconds)
    done = replace(progress, state="installed", completed=data, url=data.site.url)
    return replace(done, cause=None, message=message, ended=ended)


def _mailed(progress: OrderProgress, event: Event[MailSent]) -> OrderProgress:
    return replace(progress, state="mailed", ended=True, message=f"to {event.data.recipient}")


def _unmailed(progress: OrderProgress, event: Event[MailSuppressed]) -> OrderProgress:
    return replace(progress, ended=True, message=f"no email: {event.data.reason}")


def _cancelled(progress: OrderProgress, event: Event[InstallCancelled]) -> OrderProgress:
    return replace(progress, state="cancelled", ended=True, message=event.data.reason)


def _known(progress: OrderProgress, event: Event[OrderKnown]) -> OrderProgress:
    """The same order again: nothing was done, and if it has ended already, no more events will follow."""
    data = event.data
    return progress.known(data.placed_at, data.state, data.install_state, data.install_id)


def _refused(progress: OrderProgress, event: Event[CommandRefused]) -> OrderProgress:
    return progress.refused(event.data.cause)


def _ends(state: str) -> Callable[[OrderProgress, Event[Any]], OrderProgress]:
    def step(progress: OrderProgress, event: Event[Any]) -> OrderProgress:
        return progress.failed(state, event.data.cause, getattr(event.data, "next", None))

    return step


def attempt(number: int, limit: int | None) -> str:
    return f"attempt {number} of {limit}" if limit else f"attempt {number}"


def due(due_at: datetime, now: datetime, number: int, limit: int | None, cause: Cause | None) -> str:
    """When an install is due, after a failed attempt if there is a cause."""
    again = f"; the previous attempt failed: {cause.code}: {cause.detail}" if cause else ""
    which = f", {attempt(number, limit)}" if number > 1 else ""
    return f"due {times.relative(due_at, now)}{which}{again}"


def due_again(due_at: datetime, now: datetime, number: int, limit: int | None, cause: Cause | None) -> str:
    """When an account or an email is tried again, and why."""
    why = f"; {cause.code}: {cause.detail}" if cause else ""
    return f"due {times.relative(due_at, now)}, {attempt(number, limit)}{why}"


def answers(application: str, version: str, url: str, seconds: float) -> str:
    """What an installed site is."""
    return f"{application} {version} answers at {url}, after {seconds:.1f} s"


_STEPS: Mapping[type[Model], Callable[[OrderProgress, Event[Any]], OrderProgress]] = {
    OrderRejected: _ends("rejected"),
    OrderKnown: _known,
    CommandRefused: _refused,
    OrderAccepted: _accepted,
    AccountRetrying: _waits,
    AccountCreated: _account_created,
    AccountFailed: _ends("account failed"),
    InstallStaged: _staged,
    InstallWaiting: _install_waits,
    InstallStarted: _started,
    InstallCompleted: _completed,
    InstallFailed: _ends("failed"),
    InstallCancelled: _cancelled,
    MailWaiting: _waits,
    MailSuppressed: _unmailed,
    MailSent: _mailed,
    MailFailed: _ends("mail failed"),
}
