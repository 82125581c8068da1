"""Telling the installer what to do, and waiting for its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from schemas.envelope import Event
from schemas.installs import CommandRefused, InstallCancelled, InstallStaged
from schemas.values import Cause
from sitecrew.cli import moments, screen, sending

_ANSWERS = ("install.cancelled.#", "install.staged.#", "command.refused.#")


@dataclass(frozen=True)
class Answer:
    """What came of one command."""

    install_id: str
    command_id: str
    outcome: str
    """`cancelled`, `staged`, `refused` or `unanswered`."""
    told: str
    cause: Cause | None = None

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        cause = self.cause.model_dump(mode="json") if self.cause else None
        return {
            "install_id": self.install_id,
            "command_id": self.command_id,
            "outcome": self.outcome,
            "cause": cause,
        }

    def show(self) -> None:
        """A line on stdout."""
        screen.out(screen.printable(f"{self.install_id}  {self.outcome}  {self.told}"))


def ask(broker: Broker, wanted: Sequence[Any], timeout: float) -> list[Answer]:
    """Send commands about installs and wait up to `timeout` seconds for all answers. Listens before
    it speaks. Raises Refused or BrokerUnreachable if the broker does not take a command."""
    if not wanted:
        return []
    sent = {event.id: event for event in (sending.event(command, _order_of(command)) for command in wanted)}
    answers: dict[str, Answer] = {}
    watching = broker.watch(EVENTS, *_ANSWERS)
    sending.require_confirmed(sending.publish(broker, [sending.message(event) for event in sent.values()]))
    by_trace = {event.traceparent: event for event in sent.values()}
    with screen.working("waiting for the installer's answer") as say:
        for heard in sending.heard(watching, monotonic() + timeout):
            command = sent.get(getattr(heard.data, "command_id", "")) or by_trace.get(heard.traceparent)
            if command and command.id not in answers:
                answers[command.id] = _answer(command, heard)
                say(f"{len(answers)} of {len(sent)} answered")
            if len(answers) == len(sent):
                break
    return [answers.get(event.id) or _unanswered(event) for event in sent.values()]


def _order_of(command: Any) -> str:
    return str(command.install_id.rpartition("-g")[0])


def _answer(command: Event[Any], heard: Event[Any]) -> Answer:
    named = (command.data.install_id, command.id)
    match heard.data:
        case CommandRefused(cause=cause):
            return Answer(*named, "refused", f"{cause.detail}; {cause.remedy}", cause)
        case InstallCancelled(reason=reason):
            return Answer(*named, "cancelled", reason)
        case InstallStaged(due_at=due_at):
            return Answer(*named, "staged", f"due {moments.relative(due_at, heard.time or due_at)}")
    raise TypeError(f"{heard.type} answers no command")  # not among the watched


def _unanswered(command: Event[Any]) -> Answer:
    return Answer(command.data.install_id, command.id, "unanswered", "no installer has answered yet")
