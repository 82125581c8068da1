"""Sending commands to the services, and waiting for their answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import typer

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from foundation.config.settings import Settings
from foundation.errors import NotFound, Refused, SitecrewError
from schemas.envelope import Event
from schemas.installs import (
    CommandRefused,
    InstallCancel,
    InstallCancelled,
    InstallResolve,
    InstallResolved,
    InstallRetry,
    InstallStaged,
    TimerPause,
    TimerPaused,
    TimerResume,
    TimerResumed,
)
from schemas.mails import MailFailed, MailResend, MailSent
from schemas.orders import (
    OrderAccepted,
    OrderAmend,
    OrderAmended,
    OrderCancel,
    OrderReinstall,
    OrderRetry,
    OrderWithdrawn,
)
from schemas.values import Cause, Model
from sitecrew.cli.client import sending, session
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.words import count

_WATCHED = (
    *("install.cancelled.#", "install.staged.#", "install.resolved.#", "mail.#", "order.withdrawn.#"),
    *("order.amended.#", "order.accepted.#", "timer.#", "command.refused.#"),
)
_ANSWERS: Mapping[type[Model], tuple[type[Model], ...]] = {
    InstallCancel: (InstallCancelled,),
    InstallRetry: (InstallStaged,),
    InstallResolve: (InstallResolved,),
    MailResend: (MailSent, MailFailed),
    OrderCancel: (OrderWithdrawn,),
    OrderReinstall: (InstallStaged,),
    OrderRetry: (OrderAccepted,),
    OrderAmend: (OrderAmended,),
    TimerPause: (TimerPaused,),
    TimerResume: (TimerResumed,),
}
"""The events that confirm a command. A refusal names its command."""

UNKNOWN = frozenset({"no_such_order", "no_such_install", "no_such_letter"})
"""Codes of refusals because something does not exist."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one command."""

    about: Mapping[str, str]
    """The order or install it is about: `order_id` or `install_id`; empty if it is about the timer."""
    command_id: str
    outcome: str
    """`accepted`, `cancelled`, `withdrawn`, `staged`, `resolved`, `amended`, `sent`, `paused`, `resumed`, `failed`,
    `refused`, `unanswered`, or `published` if no answer was awaited."""
    message: str
    cause: Cause | None = None

    @property
    def name(self) -> str:
        return next(iter(self.about.values()), "timer")

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        cause = self.cause.model_dump(mode="json") if self.cause else None
        return {**self.about, "command_id": self.command_id, "outcome": self.outcome, "cause": cause}

    def show(self) -> None:
        """Print one line on stdout."""
        terminal.out(terminal.printable(f"{self.name}  {self.outcome}  {self.message}"))


def carry_out(
    settings: Settings,
    wanted: Sequence[Model],
    timeout: float,
    *,
    by: str,
    json: bool,
    wait: bool = True,
    silently: bool = False,
) -> None:
    """Send commands and show the answers, unless `silently`. Raises NotFound or Refused if one was refused, and
    SitecrewError if one failed, or the service named `by` did not answer within `timeout` seconds."""
    with session.ready_broker(settings) as broker:
        answers = ask(broker, wanted, timeout if wait else None)
    if silently:
        _require_done(answers, timeout, by)
        return
    if json:
        terminal.document([answer.record() for answer in answers])
    alone = len(answers) == 1 and answers[0].outcome == "refused"  # then the error says it all
    for answer in answers if not json and not alone else ():
        answer.show()
    if wait:
        _require_done(answers, timeout, by)
    elif answers:
        terminal.note("sent without waiting for an answer; see `sitecrew status` and `sitecrew order show ORDER`")


def _require_done(answers: Sequence[Answer], timeout: float, by: str) -> None:
    if refused := [answer for answer in answers if answer.outcome == "refused"]:
        unknown = all(answer.cause and answer.cause.code in UNKNOWN for answer in refused)
        kind = NotFound if unknown else Refused
        raise kind(refused[0].message) if len(answers) == 1 else kind(f"{len(refused)} of {len(answers)} refused")
    if failed := [answer for answer in answers if answer.outcome == "failed"]:
        raise SitecrewError(f"{len(failed)} of {len(answers)} failed")
    if any(answer.outcome == "unanswered" for answer in answers):
        lane = by.removeprefix("order-")
        raise SitecrewError(
            f"no {by} answered within {timeout:g} seconds. Is one running (`sitecrew run {by}`)? The command stays in "
            f"the queue {lane}.commands and is carried out once one runs"
        )


def ask(broker: Broker, wanted: Sequence[Any], timeout: float | None) -> list[Answer]:
    """Send commands and wait up to `timeout` seconds for all answers; None: do not wait. Subscribes before it
    publishes. Raises Refused or BrokerUnreachable if the broker does not take a command."""
    if not wanted:
        return []
    sent = {event.id: event for event in (sending.event(command, _order_of(command)) for command in wanted)}
    answers: dict[str, Answer] = {}
    watching = broker.watch(EVENTS, *_WATCHED) if timeout is not None else None
    sending.require_confirmed(sending.publish(broker, [sending.message(event) for event in sent.values()]))
    try:
        with terminal.working("waiting for an answer") as show:
            for answer in sending.incoming(watching, monotonic() + (timeout or 0)) if watching else ():
                command = _answered(sent.values(), answer)
                if command and command.id not in answers:
                    answers[command.id] = _answer(command, answer)
                    show(f"{len(answers)} of {len(sent)} answered")
                if len(answers) == len(sent):
                    break
    except KeyboardInterrupt:
        terminal.note(f"{count(len(sent), 'command')} already sent; follow with `sitecrew install watch`")
        raise typer.Exit(130) from None
    outcome = "unanswered" if watching else "published"
    silent = {event.id: Answer(_about(event), event.id, outcome, "no answer yet") for event in sent.values()}
    return list({**silent, **answers}.values())


def _answered(sent: Iterable[Event[Any]], answer: Event[Any]) -> Event[Any] | None:
    """The command that an event answers."""
    if isinstance(answer.data, CommandRefused):
        return next((event for event in sent if event.id == answer.data.command_id), None)
    fitting = (event for event in sent if event.trace_id == answer.trace_id)
    return next((event for event in fitting if isinstance(answer.data, _ANSWERS[type(event.data)])), None)


def _about(command: Event[Any]) -> Mapping[str, str]:
    names = (name for name in ("install_id", "order_id") if hasattr(command.data, name))
    return {name: getattr(command.data, name) for name in names}


def _order_of(command: Any) -> str | None:
    """The order that a command is about, if it is about one."""
    if hasattr(command, "install_id"):
        return str(command.install_id.rpartition("-g")[0])
    return getattr(command, "order_id", None)


def _answer(command: Event[Any], answer: Event[Any]) -> Answer:
    outcome, describe = _OUTCOMES[type(answer.data)]
    return Answer(_about(command), command.id, outcome, describe(answer, command), getattr(answer.data, "cause", None))


def _cause(answer: Event[Any], _command: Event[Any]) -> str:
    cause = answer.data.cause
    return f"{cause.code}: {cause.detail}; {cause.remedy}"


def _reason(answer: Event[Any], _command: Event[Any]) -> str:
    return str(answer.data.reason)


def _refusal(answer: Event[Any], _command: Event[Any]) -> str:
    cause = answer.data.cause
    return f"{cause.detail}. What to do: {cause.remedy}"


def _due(answer: Event[Any], command: Event[Any]) -> str:
    staged = f"{answer.data.install_id}, " if "order_id" in _about(command) else ""
    return f"{staged}due {times.relative(answer.data.due_at, answer.time or answer.data.due_at)}"


def _paused(answer: Event[Any], _command: Event[Any]) -> str:
    since = times.both(answer.data.since, answer.time or answer.data.since)
    return f"since {since}" + (f": {answer.data.reason}" if answer.data.reason else "")


def _customer(answer: Event[Any], _command: Event[Any]) -> str:
    customer = answer.data.customer
    return f"{customer.name} <{customer.email}>; later emails go there"


_OUTCOMES: Mapping[type[Model], tuple[str, Callable[[Event[Any], Event[Any]], str]]] = {
    CommandRefused: ("refused", _refusal),
    MailSent: ("sent", lambda answer, _: f"to {answer.data.recipient}"),
    MailFailed: ("failed", _cause),
    InstallCancelled: ("cancelled", _reason),
    OrderWithdrawn: ("withdrawn", _reason),
    OrderAccepted: ("accepted", lambda answer, _: f"its account is tried again on {answer.data.server}"),
    OrderAmended: ("amended", _customer),
    InstallStaged: ("staged", _due),
    InstallResolved: ("resolved", lambda answer, _: str(answer.data.note)),
    TimerPaused: ("paused", _paused),
    TimerResumed: ("resumed", lambda _answer, _command: "batches begin again, at the next tick"),
}
"""The outcome that each answer stands for, and how to describe it."""
