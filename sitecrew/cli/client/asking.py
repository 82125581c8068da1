"""Sending commands over the broker, and waiting for the events that answer them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

import typer

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from schemas.answers import ANSWERS
from schemas.envelope import Event
from schemas.installs import (
    CommandRefused,
    InstallCancelled,
    InstallResolved,
    InstallStaged,
    TimerPaused,
    TimerResumed,
)
from schemas.mails import MailFailed, MailSent
from schemas.orders import (
    OrderAccepted,
    OrderAmended,
    OrderWithdrawn,
)
from schemas.servers import ServerClosed, ServerOpened
from schemas.values import Model
from sitecrew.cli.client import sending
from sitecrew.cli.client.commands import (
    RESUMED,
    SERVER_RESUMED,
    Answer,
    about,
    corrected,
    due,
    failure,
    paused,
    refusal,
    retried,
)
from sitecrew.cli.output import terminal
from sitecrew.cli.output.words import count

_WATCHED = (
    *("install.cancelled.#", "install.staged.#", "install.resolved.#", "mail.#", "order.withdrawn.#"),
    *("order.amended.#", "order.accepted.#", "timer.#", "server.#", "command.refused.#"),
)


def ask(broker: Broker, wanted: Sequence[Any], timeout: float | None) -> list[Answer]:
    """Send commands and wait up to `timeout` seconds for all answers; None: do not wait. Subscribes before it
    publishes. Raises Refused or BrokerUnreachable if the broker does not take a command."""
    if not wanted:
        return []
    sent = {event.id: event for event in (sending.event(command, order_of(command)) for command in wanted)}
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
    silent = {event.id: Answer(about(event.data), event.id, outcome, "no answer yet") for event in sent.values()}
    return list({**silent, **answers}.values())


def _answered(sent: Iterable[Event[Any]], answer: Event[Any]) -> Event[Any] | None:
    """The command that an event answers."""
    if isinstance(answer.data, CommandRefused):
        return next((event for event in sent if event.id == answer.data.command_id), None)
    fitting = (event for event in sent if event.trace_id == answer.trace_id)
    return next((event for event in fitting if isinstance(answer.data, ANSWERS[type(event.data)])), None)


def order_of(command: Any) -> str | None:
    """The order that a command is about, if it is about one."""
    if hasattr(command, "install_id"):
        return str(command.install_id.rpartition("-g")[0])
    return getattr(command, "order_id", None)


def _answer(command: Event[Any], answer: Event[Any]) -> Answer:
    outcome, describe = _OUTCOMES[type(answer.data)]
    return Answer(
        about(command.data), command.id, outcome, describe(answer, command), getattr(answer.data, "cause", None)
    )


def _reason(answer: Event[Any], _command: Event[Any]) -> str:
    return str(answer.data.reason)


def _due(answer: Event[Any], command: Event[Any]) -> str:
    data = answer.data
    return due(data.due_at, answer.time or data.due_at, data.install_id if "order_id" in about(command.data) else "")


def _paused(answer: Event[Any], _command: Event[Any]) -> str:
    return paused(answer.data.since, answer.time or answer.data.since, answer.data.reason)


_OUTCOMES: Mapping[type[Model], tuple[str, Callable[[Event[Any], Event[Any]], str]]] = {
    CommandRefused: ("refused", lambda answer, _: refusal(answer.data.cause)),
    MailSent: ("sent", lambda answer, _: f"to {answer.data.recipient}"),
    MailFailed: ("failed", lambda answer, _: failure(answer.data.cause)),
    InstallCancelled: ("cancelled", _reason),
    OrderWithdrawn: ("withdrawn", _reason),
    OrderAccepted: ("accepted", lambda answer, _: retried(answer.data.server)),
    OrderAmended: ("amended", lambda answer, _: corrected(answer.data.customer)),
    InstallStaged: ("staged", _due),
    InstallResolved: ("resolved", lambda answer, _: str(answer.data.note)),
    TimerPaused: ("paused", _paused),
    TimerResumed: ("resumed", lambda _answer, _command: RESUMED),
    ServerOpened: ("paused", _paused),
    ServerClosed: ("resumed", lambda _answer, _command: SERVER_RESUMED),
}
"""The outcome that each answer stands for, and how to describe it."""
