"""The life of an order as its events tell it, from the outside."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from foundation.broker import Consumer
from schemas.accounts import AccountCreated, AccountFailed
from schemas.envelope import Event
from schemas.installs import (
    CommandRefused,
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallRef,
    InstallStaged,
    InstallStarted,
)
from schemas.mails import MailFailed, MailSent
from schemas.orders import OrderKnown, OrderReinstall, OrderReinstallRequested, OrderRejected
from schemas.values import Cause, Model
from sitecrew.cli.client import sending
from sitecrew.cli.client.commands import UNKNOWN
from sitecrew.cli.output import terminal, times

_GOOD = ("installed", "mailed", "known")
_EXIT_CODES = {"rejected": 6, "cancelled": 6, "refused": 6, "unknown": 5}


@dataclass(frozen=True)
class Life:
    """What was heard of one order since its event was sent."""

    order_id: str
    event_id: str
    trace: str | None
    reinstall: bool
    unmailed: Collection[str]
    """Types of sites that get no letter: their life ends with the install."""
    state: str = "sent"
    ended: bool = False
    install_id: str | None = None
    url: str | None = None
    cause: Cause | None = None
    told: str = ""
    """What is to be said of its state, for people."""

    @classmethod
    def of(cls, event: Event[Any], unmailed: Collection[str] = ()) -> "Life":
        """The life that begins with an event about an order."""
        reinstall = isinstance(event.data, OrderReinstall | OrderReinstallRequested)
        return cls(event.data.order_id, event.id, event.trace_id, reinstall, unmailed)

    def after(self, event: Event[Any]) -> "Life":
        """What it is after one more event of its order; itself if that was about something else."""
        step = _STEPS.get(type(event.data))
        return step(self, event) if step and self._is_about(event) else self

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        cause = self.cause.model_dump(mode="json") if self.cause else None
        named = ("order_id", "event_id", "state", "install_id", "url")
        return {**{name: getattr(self, name) for name in named}, "cause": cause}

    def _is_about(self, event: Event[Any]) -> bool:
        """A re-install is known by the trace that our request began, then by its install's id: its
        forerunners of the same order may still be talking."""
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


def _account(life: Life, event: Event[AccountCreated]) -> Life:
    account = event.data.account
    return replace(life, state="account created", told=f"{account.username} on {account.server}")


def _staged(life: Life, event: Event[InstallStaged]) -> Life:
    data = event.data
    again = f"; the attempt before failed: {data.cause.code}: {data.cause.detail}" if data.cause else ""
    limit = f" of {data.max_attempts}" if data.max_attempts else ""
    attempt = f", attempt {data.attempt}{limit}" if data.attempt > 1 else ""
    told = f"due {times.relative(data.due_at, event.time or data.due_at)}{attempt}{again}"
    return replace(life, state="staged", install_id=data.install_id, cause=data.cause, told=told)


def _started(life: Life, event: Event[InstallStarted]) -> Life:
    limit = f" of {event.data.max_attempts}" if event.data.max_attempts else ""
    return replace(life, state="installing", told=f"attempt {event.data.attempt}{limit}")


def _completed(life: Life, event: Event[InstallCompleted]) -> Life:
    data = event.data
    ended = data.site.site_type in life.unmailed
    told = f"in {data.seconds:.1f}s, answers at {data.site.url}"
    return replace(life, state="installed", url=data.site.url, cause=None, told=told, ended=ended)


def _mailed(life: Life, event: Event[MailSent]) -> Life:
    return replace(life, state="mailed", ended=True, told=f"to {event.data.recipient}")


def _cancelled(life: Life, event: Event[InstallCancelled]) -> Life:
    return replace(life, state="cancelled", ended=True, told=event.data.reason)


def _known(life: Life, event: Event[OrderKnown]) -> Life:
    """The same order again: nothing was done, and if nothing more is to come, nothing is heard either."""
    data = event.data
    how_far = data.install_state or data.state
    since = times.exact(data.placed_at)
    told = f"{life.order_id} is known since {since}, {how_far}; nothing was changed"
    if data.state != "cancelled" and how_far in ("accepted", "created", "staged", "started", "installing"):
        return replace(life, state=how_far, install_id=data.install_id, told=told)
    state = "known" if how_far == "installed" else how_far
    return replace(life, state=state, install_id=data.install_id, told=told, ended=True)


def _refused(life: Life, event: Event[CommandRefused]) -> Life:
    cause = event.data.cause
    state = "unknown" if cause.code in UNKNOWN else "refused"
    return replace(life, state=state, cause=cause, told=f"{cause.detail}. What to do: {cause.remedy}", ended=True)


def _ends(state: str) -> Callable[[Life, Event[Any]], Life]:
    def step(life: Life, event: Event[Any]) -> Life:
        cause = event.data.cause
        upcoming = getattr(event.data, "next", None)
        told = f"{cause.code}: {cause.detail}. What to do: {cause.remedy}" + (f" Next: {upcoming}" if upcoming else "")
        return replace(life, state=state, ended=True, cause=cause, told=told)

    return step


_STEPS: Mapping[type[Model], Callable[[Life, Event[Any]], Life]] = {
    OrderRejected: _ends("rejected"),
    OrderKnown: _known,
    CommandRefused: _refused,
    AccountCreated: _account,
    AccountFailed: _ends("account failed"),
    InstallStaged: _staged,
    InstallStarted: _started,
    InstallCompleted: _completed,
    InstallFailed: _ends("failed"),
    InstallCancelled: _cancelled,
    MailSent: _mailed,
    MailFailed: _ends("letter failed"),
}


class Follower:
    """Follows orders until all have come to an end, and tells of it as it happens."""

    def __init__(self, lives: Iterable[Life], *, json: bool = False) -> None:
        self._json = json
        self._lives = {life.event_id: life for life in lives}
        self._of_order: dict[str, list[str]] = defaultdict(list)
        for life in self._lives.values():
            self._of_order[life.order_id].append(life.event_id)

    @property
    def lives(self) -> Sequence[Life]:
        """As they are by now."""
        return list(self._lives.values())

    def follow(self, watching: Consumer, timeout: float) -> list[Life]:
        """Listen for up to `timeout` seconds; the lives as they then are."""
        left = set(self._lives)
        with terminal.working(self._summary(left)) as say:
            for event in sending.heard(watching, monotonic() + timeout) if left else ():
                for event_id in self._concerned(event):
                    self._hear(event_id, event)
                    if self._lives[event_id].ended:
                        left.discard(event_id)
                if not left:
                    break
                say(self._summary(left))
        return list(self._lives.values())

    def _concerned(self, event: Event[Any]) -> Sequence[str]:
        if isinstance(event.data, CommandRefused):
            return [event.data.command_id] if event.data.command_id in self._lives else []
        return self._of_order.get(getattr(event.data, "order_id", ""), ())

    def _hear(self, event_id: str, event: Event[Any]) -> None:
        before = self._lives[event_id]
        if before.ended:
            return
        after = self._lives[event_id] = before.after(event)
        if after is not before:
            style = "" if not after.ended else "green" if after.state in _GOOD else "red"
            told = f"{after.order_id}  {after.state:15}  {after.told}"
            terminal.news(told, style, {"event": event.type, **after.record()} if self._json else None)

    def _summary(self, left: set[str]) -> str:
        if len(left) == 1:
            life = self._lives[next(iter(left))]
            return f"waiting for {life.order_id}: {life.state}"
        return f"waiting for {len(left)} of {len(self._lives)} orders"


def exit_code(lives: Sequence[Life]) -> int:
    """0 if all are well, 1 if one failed or is still open, 6 if the worst was a refusal."""
    codes = {0 if life.ended and life.state in _GOOD else _EXIT_CODES.get(life.state, 1) for life in lives}
    return 1 if 1 in codes else max(codes, default=0)
