"""`sitecrew installs`: the screen of pending and failed installs, and what can be done about them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.broker.topology import EVENTS
from services.installer.states import State
from sitecrew.cli.help import examples, known, noun

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from foundation.runtime.settings import Settings
    from services.installer.installs import Install

app = noun("sitecrew installs list", "sitecrew installs show 1042", "sitecrew installs retry 1042-g1")

_ALIASES = {
    "pending": [State.STAGED, State.INSTALLING],
    "all": list(State),
    **{state.value: [state] for state in State},
}

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Ids = Annotated[
    list[str] | None, typer.Argument(metavar="INSTALL_ID|ORDER_ID", help="An order's id: its latest install.")
]
_Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the installer's answer.", min=0)]


@app.command(
    "list",
    epilog=examples(
        "sitecrew installs list",
        "sitecrew installs list --state failed --json",
        "sitecrew installs list --order 1042 --state all",
    ),
)
def list_installs(
    ctx: typer.Context,
    state: Annotated[
        str, typer.Option(metavar="STATE,...", help=f"Of {', '.join(_ALIASES)}.", show_default=True)
    ] = "pending,failed",
    order: Annotated[str | None, typer.Option(metavar="ORDER_ID", help="Those of one order.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.", min=1)] = 100,
    json: _Json = False,
) -> None:
    """Show pending and failed installs, when they are due, and causes."""
    from services.installer import installs as table
    from sitecrew.cli import install_rows, moments, screen, session

    settings, states, now = session.settings_of(ctx), _states(ctx, state), session.now()
    # What is over only grows, and is looked at from its end; what is still to be done, from its beginning.
    newest_first = bool({State.INSTALLED, State.CANCELLED} & set(states))
    with session.reading_installs(settings) as connection:
        found = table.listing(connection, states, order, limit, newest_first=newest_first)
        counts = table.counts(connection)
    if json:
        screen.document([install_rows.record(install, settings) for install in found])
        return
    if found:
        install_rows.table(found, now).show()
    else:
        screen.note(f"no install is {' or '.join(states)}" + (f" in order {order}" if order else ""))
    if len(found) == limit:
        screen.note(f"these are the first {limit}; --limit shows more")
    tick = moments.relative(settings.timer.first_tick(now), now)
    sums = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"
    screen.note(f"all installs: {sums}; next batch {tick}")


@app.command(epilog=examples("sitecrew installs show 1042", "sitecrew installs show 1042-g2 --json"))
def show(
    ctx: typer.Context,
    install: Annotated[str, typer.Argument(metavar="INSTALL_ID|ORDER_ID", help="An order's id: its latest install.")],
    json: _Json = False,
) -> None:
    """Show all that is known of one install."""
    from sitecrew.cli import install_rows, screen, session
    from sitecrew.cli.tables import pairs

    settings = session.settings_of(ctx)
    with session.reading_installs(settings) as connection:
        found = _found(connection, install)
    if json:
        screen.document(install_rows.record(found, settings))
    else:
        pairs(install_rows.page(found, settings, session.now()))


@app.command(epilog=examples("sitecrew installs cancel 1042-g1 --reason 'ordered by mistake'"))
def cancel(
    ctx: typer.Context,
    ids: _Ids = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the record.")] = "cancelled by staff",
    timeout: _Timeout = 10,
    json: _Json = False,
) -> None:
    """Take pending or failed installs back, so that they are not run."""
    from schemas.installs import InstallCancel
    from sitecrew.cli import commands, session
    from sitecrew.cli.order_files import validated

    if not ids:
        raise typer.BadParameter("name the installs to cancel", ctx=ctx)
    settings = session.settings_of(ctx)
    names = _install_ids(settings, ids)
    wanted = [
        validated(InstallCancel, {"install_id": name, "reason": reason}, {"reason": "--reason"}) for name in names
    ]
    commands.carry_out(settings, wanted, timeout, by="installer", json=json)


@app.command(epilog=examples("sitecrew installs retry 1042-g1", "sitecrew installs retry --all-failed"))
def retry(
    ctx: typer.Context,
    ids: _Ids = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every install that has failed.")] = False,
    timeout: _Timeout = 10,
    json: _Json = False,
) -> None:
    """Run failed installs again from the first attempt, staged ones now."""
    from schemas.installs import InstallRetry
    from sitecrew.cli import commands, screen, session

    if bool(ids) == all_failed:
        raise typer.BadParameter("name the installs to retry, or give --all-failed", ctx=ctx)
    settings = session.settings_of(ctx)
    wanted = [InstallRetry(install_id=name) for name in (_install_ids(settings, ids) if ids else _failed(settings))]
    if not wanted:
        screen.note("no install has failed")
    commands.carry_out(settings, wanted, timeout, by="installer", json=json)


@app.command(epilog=examples("sitecrew installs watch", "sitecrew installs watch --json | jq .type"))
def watch(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line: the events.")] = False,
) -> None:
    """Show what happens to installs and letters as it happens."""
    from sitecrew.cli import screen, session, stream

    with session.ready_broker(session.settings_of(ctx)) as broker:
        watching = broker.watch(EVENTS, *stream.PATTERNS)
        screen.note("watching; Ctrl-C ends it")
        stream.show(watching, json=json)


@app.command("run-now", epilog=examples("sitecrew installs run-now"))
def run_now(ctx: typer.Context, json: _Json = False) -> None:
    """Start a batch now, without waiting for the timer's tick."""
    from schemas.installs import TimerRunNow
    from sitecrew.cli import screen, sending, session

    event = sending.event(TimerRunNow(), None)
    with session.ready_broker(session.settings_of(ctx)) as broker:
        sending.require_confirmed(sending.publish(broker, [sending.message(event)]))
    if json:
        screen.document({"command_id": event.id})
    screen.note("told: one installer starts a batch as soon as it hears this (`sitecrew installs watch` shows it)")


def _states(ctx: typer.Context, wanted: str) -> list[State]:
    names = known(ctx, [name.strip() for name in wanted.split(",")], _ALIASES, "--state")
    chosen = {state for name in names for state in _ALIASES[name]}
    return [state for state in State if state in chosen]


def _found(connection: "Connection", name: str) -> "Install":
    """The install of this id, or the latest of the order of this id. Raises NotFound."""
    from foundation.errors import NotFound
    from services.installer import installs as table

    found = table.find(connection, name)
    of_order = [] if found else table.listing(connection, [], name, limit=10_000)
    latest = found or max(of_order, key=lambda install: install.generation, default=None)
    if latest is None:
        raise NotFound(f"there is no install or order {name}; see `sitecrew installs list --state all`")
    return latest


def _install_ids(settings: "Settings", names: Sequence[str]) -> list[str]:
    """Install ids as they are, and the latest installs of orders. Only for those is the store needed."""
    from schemas.installs import InstallRetry
    from sitecrew.cli import session
    from sitecrew.cli.order_files import validated

    if all(re.fullmatch(r".+-g[0-9]+", name) for name in names):
        return [validated(InstallRetry, {"install_id": name}).install_id for name in names]
    with session.reading_installs(settings) as connection:
        return [_found(connection, name).install_id for name in names]


def _failed(settings: "Settings") -> list[str]:
    from services.installer import installs as table
    from sitecrew.cli import session

    with session.reading_installs(settings) as connection:
        return [install.install_id for install in table.listing(connection, [State.FAILED], None, limit=100_000)]
