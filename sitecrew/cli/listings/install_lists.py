"""Listing installs, and having something done about them."""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import typer

from services.installer.states import State
from sitecrew.cli import everywhere
from sitecrew.cli.client import commands, session
from sitecrew.cli.listings import install_rows
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.office.interface import InstallQuestion, Office
from sitecrew.cli.office.opening import office_of
from sitecrew.cli.office.seen import InstallSeen
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.words import count

_AGAIN = 2.0
"""Seconds between refreshes of `--watch`."""


def show(office: Office, question: InstallQuestion, *, json: bool) -> None:
    """The list."""
    found, counts = office.installs(question)
    now = session.now()
    if json:
        terminal.document([install.record() for install in found])
        return
    if found:
        install_rows.table(found, now).show()
    else:
        terminal.note(_nothing(question) + (f" in order {question.order_id}" if question.order_id else ""))
    if len(found) == question.limit:
        terminal.note(
            f"only the first {question.limit} are shown; for more: --after {found[-1].install_id}; or raise --limit"
        )
    for line in install_rows.groups(found):
        terminal.note(line)
    if not question.order_id:
        sums = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"
        terminal.note(f"all installs: {sums}{_next_batch(found, now)}")


def _nothing(question: InstallQuestion) -> str:
    if len(question.states) == len(State):
        return "no such install"
    mails = ", and no email has failed" if question.failed_letters else ""
    return f"no install is {' or '.join(question.states)}{mails}"


def _next_batch(found: Sequence[InstallSeen], now: datetime) -> str:
    """The next batch, as the installer recorded it with the installs that wait for it."""
    ahead = [install.begins_at for install in found if install.begins_at and install.begins_at > now]
    return f"; next batch {times.relative(min(ahead), now)}" if ahead else ""


def show_again_and_again(office: Office, question: InstallQuestion) -> None:
    """Refresh the list until Ctrl-C."""
    pause = threading.Event()
    with suppress(KeyboardInterrupt):
        while True:
            terminal.clear()
            show(office, question, json=False)
            pause.wait(_AGAIN)


@dataclass(frozen=True)
class Order:
    """What to do about installs."""

    verb: str
    command: Callable[[str], Any]
    """The command about the install of an id."""
    states: Sequence[State]
    """The states that filters select from."""
    careful: bool
    """Whether doing it to everything selected needs a confirmation."""


def carry_out(
    ctx: typer.Context,
    order: Order,
    ids: Sequence[str] | None,
    narrowed: Filters,
    timeout: float,
    *,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Send the command for the named installs, or for all that the filters select."""
    office = office_of(ctx)
    if ids and not dry_run and all(re.fullmatch(r".+-g[0-9]+", name) for name in ids):
        names = list(ids)  # ids need no database, which may be on another machine
    else:
        chosen = office.installs_named(ids) if ids else office.installs(InstallQuestion(order.states, narrowed))[0]
        names = [install.install_id for install in chosen]
        if dry_run:
            _show_choice(order, chosen, json=json)
            return
    if not names:
        terminal.note("no install has failed" if order.states == [State.FAILED] else "no such install")
    elif not ids and not yes:
        everywhere.require_yes(ctx, f"{order.verb} {count(len(names), 'install')}", careful=order.careful)
    wanted = [order.command(_checked(name)) for name in names]
    commands.carry_out(office, wanted, timeout, by="installer", json=json)


def _show_choice(order: Order, chosen: Sequence[InstallSeen], *, json: bool) -> None:
    if json:
        terminal.document([install.record() for install in chosen])
    elif chosen:
        install_rows.table(chosen, session.now()).show()
    terminal.note(f"would {order.verb} {count(len(chosen), 'install')}; nothing was done")


def _checked(name: str) -> str:
    from schemas.installs import InstallRetry
    from sitecrew.cli.client.orders.files import validated

    return validated(InstallRetry, {"install_id": name}).install_id
