"""The outcomes of commands: in which words they are told, and which exit codes they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from foundation.errors import NotFound, Refused, SitecrewError
from schemas.values import Cause, Customer, Model
from sitecrew.cli.output import terminal, times

if TYPE_CHECKING:
    from sitecrew.cli.office.interface import Office

UNKNOWN = frozenset({"no_such_order", "no_such_install", "no_such_letter", "no_such_server", "not_found"})
"""Codes of refusals because something does not exist."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one command."""

    about: Mapping[str, str]
    """The order, install or server it is about: `order_id`, `install_id` or `server`; empty if it is about the
    timer."""
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


def about(command: Any) -> Mapping[str, str]:
    """Return which order, install or server a command is about."""
    names = (name for name in ("install_id", "order_id", "server") if hasattr(command, name))
    return {name: getattr(command, name) for name in names}


def carry_out(
    office: "Office",
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
    answers = office.ask(wanted, timeout if wait else None)
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


# What is said of outcomes

RESUMED = "batches begin again, at the next tick"
SERVER_RESUMED = "installs begin there again"


def refusal(cause: Cause) -> str:
    return f"{cause.detail}. What to do: {cause.remedy}"


def failure(cause: Cause) -> str:
    return f"{cause.code}: {cause.detail}; {cause.remedy}"


def due(due_at: datetime, now: datetime, install_id: str = "") -> str:
    """When an install is due, and which one, unless that was asked about."""
    return f"{install_id and f'{install_id}, '}due {times.relative(due_at, now)}"


def paused(since: datetime, now: datetime, reason: str | None) -> str:
    return f"since {times.both(since, now)}" + (f": {reason}" if reason else "")


def retried(server: str) -> str:
    return f"its account is tried again on {server}"


def corrected(customer: Customer) -> str:
    return f"{customer.name} <{customer.email}>; later emails go there"
