"""Telling the installer and the mailer what to do, and waiting for their answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from foundation.errors import Refused, SitecrewError
from foundation.runtime.settings import Settings
from schemas.envelope import Event
from schemas.installs import CommandRefused, InstallCancelled, InstallStaged
from schemas.mails import MailFailed, MailSent
from schemas.values import Cause, Model
from sitecrew.cli import moments, screen, sending, session

_ANSWERS = ("install.cancelled.#", "install.staged.#", "mail.#", "command.refused.#")


@dataclass(frozen=True)
class Answer:
    """What came of one command."""

    install_id: str
    command_id: str
    outcome: str
    """`cancelled`, `staged`, `sent`, `failed`, `refused` or `unanswered`."""
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


def carry_out(settings: Settings, wanted: Sequence[Model], timeout: float, *, by: str, json: bool) -> None:
    """Have a service carry out commands, and show what came of them. Raises Refused if one was refused, and
    SitecrewError if one failed, or `by` (the service's name) did not answer in time."""
    with session.ready_broker(settings) as broker:
        answers = ask(broker, wanted, timeout)
    if json:
        screen.document([answer.record() for answer in answers])
    for answer in answers if not json else ():
        answer.show()
    if refused := [answer for answer in answers if answer.outcome == "refused"]:
        raise Refused(refused[0].told) if len(answers) == 1 else Refused(f"{len(refused)} of {len(answers)} refused")
    if failed := [answer for answer in answers if answer.outcome == "failed"]:
        raise SitecrewError(f"{len(failed)} of {len(answers)} failed")
    if any(answer.outcome == "unanswered" for answer in answers):
        raise SitecrewError(
            f"no {by} answered within {timeout:g} seconds. Is one running (`sitecrew run {by}`)? The command waits in "
            f"the queue {by}.commands, and is carried out when one starts"
        )


def ask(broker: Broker, wanted: Sequence[Any], timeout: float) -> list[Answer]:
    """Send commands about installs and wait up to `timeout` seconds for all answers. Listens before
    it speaks. Raises Refused or BrokerUnreachable if the broker does not take a command."""
    if not wanted:
        return []
    sent = {event.id: event for event in (sending.event(command, _order_of(command)) for command in wanted)}
    answers: dict[str, Answer] = {}
    watching = broker.watch(EVENTS, *_ANSWERS)
    sending.require_confirmed(sending.publish(broker, [sending.message(event) for event in sent.values()]))
    by_trace = {event.trace_id: event for event in sent.values()}
    with screen.working("waiting for an answer") as say:
        for heard in sending.heard(watching, monotonic() + timeout):
            command = sent.get(getattr(heard.data, "command_id", "")) or by_trace.get(heard.trace_id)
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
        case MailSent(recipient=recipient):
            return Answer(*named, "sent", f"to {recipient}")
        case MailFailed(cause=cause):
            return Answer(*named, "failed", f"{cause.code}: {cause.detail}; {cause.remedy}", cause)
        case InstallCancelled(reason=reason):
            return Answer(*named, "cancelled", reason)
        case InstallStaged(due_at=due_at):
            return Answer(*named, "staged", f"due {moments.relative(due_at, heard.time or due_at)}")
    raise TypeError(f"{heard.type} answers no command")  # not among the watched


def _unanswered(command: Event[Any]) -> Answer:
    return Answer(command.data.install_id, command.id, "unanswered", "no answer yet")
