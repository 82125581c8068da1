"""Finding installs in the installer's database, and sending commands about them."""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import typer

from foundation.config.settings import Settings
from foundation.errors import NotFound, Refused
from services.installer import installs as counted
from services.installer.installs import Install
from services.installer.listing import Wanted, listing, named
from services.installer.states import State
from sitecrew.cli import everywhere
from sitecrew.cli.client import commands, session
from sitecrew.cli.listings import install_rows, order_rows
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.words import count

_ALL = 100_000
_AGAIN = 2.0
"""Seconds between refreshes of `--watch`."""


@dataclass(frozen=True)
class Question:
    """Which installs the list shows."""

    states: Sequence[State]
    failed_letters: bool
    order_id: str
    narrowed: Filters
    limit: int
    after: str

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            states=self.states,
            failed_letters=self.failed_letters,
            order_id=self.order_id,
            **self.narrowed.fields(),
        )

    @property
    def newest_first(self) -> bool:
        """Finished installs, which only accumulate, are listed newest first; pending ones by when they are due."""
        return bool({State.INSTALLED, State.RESOLVED, State.CANCELLED} & set(self.states))

    def nothing(self) -> str:
        """What to say if nothing is found."""
        if len(self.states) == len(State):
            return "no such install"
        mails = ", and no email has failed" if self.failed_letters else ""
        return f"no install is {' or '.join(self.states)}{mails}"


def show(settings: Settings, question: Question, *, json: bool) -> None:
    """The list."""
    now = session.now()
    with session.reading_installs(settings) as connection:
        found = listing(
            connection, question.wanted, question.limit, after=question.after, newest_first=question.newest_first
        )
        counts = counted.counts(connection)
    if json:
        terminal.document([install_rows.record(install) for install in found])
        return
    if found:
        install_rows.table(found, now).show()
    else:
        terminal.note(question.nothing() + (f" in order {question.order_id}" if question.order_id else ""))
    if len(found) == question.limit:
        terminal.note(
            f"only the first {question.limit} are shown; for more: --after {found[-1].install_id}; or raise --limit"
        )
    for line in install_rows.groups(found):
        terminal.note(line)
    if not question.order_id:
        sums = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"
        terminal.note(f"all installs: {sums}{_next_batch(found, now)}")


def _next_batch(found: Sequence[Install], now: datetime) -> str:
    """The next batch, as the installer recorded it with the installs that wait for it."""
    ahead = [at for install in found if (at := install_rows.next_attempt(install)) and at > now]
    return f"; next batch {times.relative(min(ahead), now)}" if ahead else ""


def show_again_and_again(settings: Settings, question: Question) -> None:
    """Refresh the list until Ctrl-C."""
    pause = threading.Event()
    with suppress(KeyboardInterrupt):
        while True:
            terminal.clear()
            show(settings, question, json=False)
            pause.wait(_AGAIN)


def the_ones(settings: Settings, names: Sequence[str]) -> list[Install]:
    """The installs with these ids, or the latest of these orders, domains or email addresses. Raises NotFound, with
    the reason if an order has no install yet, and Refused if a name matches several orders."""
    with session.reading_installs(settings) as connection:
        found = {name: named(connection, name) for name in names}
    for name, those in found.items():
        if not those:
            unknown = f"there is no install or order {name}; see `sitecrew install list --state all`"
            raise NotFound(order_rows.denial(settings, name) or unknown)
        if len(those) > 1:
            raise Refused(f"{name} matches several: {', '.join(install.install_id for install in those)}; name one")
    return [those[0] for those in found.values()]


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
    settings = session.settings_of(ctx)
    if ids and not dry_run and all(re.fullmatch(r".+-g[0-9]+", name) for name in ids):
        names = list(ids)  # ids need no database, which may be on another machine
    else:
        chosen = the_ones(settings, ids) if ids else _choice(settings, order, narrowed)
        names = [install.install_id for install in chosen]
        if dry_run:
            _show_choice(order, chosen, json=json)
            return
    if not names:
        terminal.note("no install has failed" if order.states == [State.FAILED] else "no such install")
    elif not ids and not yes:
        _require_yes(ctx, order, len(names))
    wanted = [order.command(_checked(name)) for name in names]
    commands.carry_out(settings, wanted, timeout, by="installer", json=json)


def _choice(settings: Settings, order: Order, narrowed: Filters) -> list[Install]:
    with session.reading_installs(settings) as connection:
        return listing(connection, Wanted(states=order.states, **narrowed.fields()), _ALL)


def _show_choice(order: Order, chosen: Sequence[Install], *, json: bool) -> None:
    if json:
        terminal.document([install_rows.record(install) for install in chosen])
    elif chosen:
        install_rows.table(chosen, session.now()).show()
    terminal.note(f"would {order.verb} {count(len(chosen), 'install')}; nothing was done")


def _require_yes(ctx: typer.Context, order: Order, number: int) -> None:
    """Prompt for confirmation; without a terminal, go on only with what does no harm."""
    if everywhere.may_ask(ctx):
        typer.confirm(f"{order.verb.capitalize()} {count(number, 'install')}?", abort=True, err=True)
    elif order.careful:
        raise typer.BadParameter(
            f"there is no terminal to prompt on; pass --yes to {order.verb} {count(number, 'install')}", ctx=ctx
        )


def _checked(name: str) -> str:
    from schemas.installs import InstallRetry
    from sitecrew.cli.client.orders.files import validated

    return validated(InstallRetry, {"install_id": name}).install_id
