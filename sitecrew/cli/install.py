"""`sitecrew install`: pending and failed installs, and what staff can do about them."""

from typing import Annotated

import typer

from services.installer.states import State
from sitecrew.cli.help import examples, known, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import NONE, DryRun, Filters, Json, Limit, Yes

app = noun("sitecrew install list", "sitecrew install show 1042", "sitecrew install retry --cause db_down --dry-run")

_ALIASES = {
    "pending": [State.STAGED, State.WAITING, State.INSTALLING],
    "all": list(State),
    **{state.value: [state] for state in State},
}

_Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="INSTALL", help="An install id; or an order id, domain or email: its latest install."),
]
_Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the installer's answer.", min=0)]


@app.command(
    "list",
    epilog=examples(
        "sitecrew install list",
        "sitecrew install list --state failed --cause db_down --since 2h",
        "sitecrew install list --order 1042",
        "sitecrew install list --customer miller --state all --json",
    ),
)
@filters.filtered()
def list_installs(
    ctx: typer.Context,
    state: Annotated[
        str,
        typer.Option(
            metavar="STATE,...",
            help=f"Any of {', '.join(_ALIASES)}.  [default: pending,failed, and failed emails]",
            autocompletion=filters.states(_ALIASES),
        ),
    ] = "",
    order: Annotated[str | None, typer.Option(metavar="ORDER", help="All installs of this order.")] = None,
    narrowed: Filters = NONE,
    limit: Limit = 100,
    after: Annotated[str, typer.Option(metavar="INSTALL", help="Continue the list after this one.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """List pending and failed installs: when they are due, and why they failed."""
    from sitecrew.cli.listings import install_lists
    from sitecrew.cli.office.interface import InstallQuestion
    from sitecrew.cli.office.opening import office_of

    states = _states(ctx, state or ("all" if order else "pending,failed"))
    question = InstallQuestion(tuple(states), narrowed, not state and not order, order or "", limit, after)
    if watch and not json:
        install_lists.show_again_and_again(office_of(ctx), question)
    else:
        install_lists.show(office_of(ctx), question, json=json)


@app.command(epilog=examples("sitecrew install show 1042", "sitecrew install show shop.example --json"))
def show(
    ctx: typer.Context,
    install: Annotated[str, typer.Argument(metavar="INSTALL", help="An install id, order id, domain or email.")],
    json: Json = False,
) -> None:
    """Show everything about one install."""
    from sitecrew.cli.client import session
    from sitecrew.cli.listings import install_rows
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import pairs

    [found] = office_of(ctx).installs_named([install])
    if json:
        terminal.document(found.record())
    else:
        pairs(install_rows.page(found, session.now()))


@app.command(
    epilog=examples(
        "sitecrew install cancel 1042-g1 --reason 'ordered by mistake'",
        "sitecrew install cancel --domain shop.example --dry-run",
    )
)
@filters.filtered()
def cancel(
    ctx: typer.Context,
    ids: _Ids = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the record.")] = "cancelled by staff",
    narrowed: Filters = NONE,
    dry_run: DryRun = False,
    yes: Yes = False,
    timeout: _Timeout = 10,
    json: Json = False,
) -> None:
    """Cancel installs that are staged, waiting, running or failed."""
    from schemas.installs import InstallCancel
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.listings import install_lists

    if bool(ids) == narrowed.given:
        raise typer.BadParameter("name the installs to cancel, or select them with --cause, --server, ...", ctx=ctx)
    checked = validated(InstallCancel, {"install_id": "1-g1", "reason": reason}, {"reason": "--reason"})
    order = install_lists.Order(
        "cancel",
        lambda name: InstallCancel(install_id=name, reason=checked.reason),
        [State.STAGED, State.WAITING, State.INSTALLING, State.FAILED],
        careful=True,
    )
    install_lists.carry_out(ctx, order, ids, narrowed, timeout, dry_run=dry_run, yes=yes, json=json)


@app.command(
    epilog=examples(
        "sitecrew install retry 1042-g1",
        "sitecrew install retry --cause db_down --server local --dry-run",
        "sitecrew install retry --all-failed --yes",
    )
)
@filters.filtered()
def retry(
    ctx: typer.Context,
    ids: _Ids = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every failed install.")] = False,
    narrowed: Filters = NONE,
    dry_run: DryRun = False,
    yes: Yes = False,
    timeout: _Timeout = 10,
    json: Json = False,
) -> None:
    """Retry failed installs, starting at attempt 1; run staged ones now."""
    from schemas.installs import InstallRetry
    from sitecrew.cli.listings import install_lists

    if bool(ids) == (all_failed or narrowed.given):
        wanted = "name the installs to retry, or select failed ones with --all-failed, --cause, --server, ..."
        raise typer.BadParameter(wanted, ctx=ctx)
    order = install_lists.Order("retry", lambda name: InstallRetry(install_id=name), [State.FAILED], careful=False)
    install_lists.carry_out(ctx, order, ids, narrowed, timeout, dry_run=dry_run, yes=yes, json=json)


@app.command(epilog=examples("sitecrew install resolve 1042-g1 --note 'installed it by hand'"))
def resolve(
    ctx: typer.Context,
    ids: Annotated[
        list[str],
        typer.Argument(metavar="INSTALL", help="An install id; or an order id, domain or email: its latest install."),
    ],
    note: Annotated[str, typer.Option(metavar="TEXT", help="What was done, for whoever looks at it later.")],
    timeout: _Timeout = 10,
    json: Json = False,
) -> None:
    """Mark failed installs as dealt with by hand: nothing more is to be done."""
    from schemas.installs import InstallResolve
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.listings import install_lists

    checked = validated(InstallResolve, {"install_id": "1-g1", "note": note}, {"note": "--note"})
    order = install_lists.Order(
        "resolve", lambda name: InstallResolve(install_id=name, note=checked.note), [State.FAILED], careful=True
    )
    install_lists.carry_out(ctx, order, ids, filters.NONE, timeout, dry_run=False, yes=True, json=json)


@app.command(epilog=examples("sitecrew install watch", "sitecrew install watch --json | jq .type"))
def watch(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="The events, one JSON object per line.")] = False,
) -> None:
    """Show events about orders, installs and emails as they happen."""
    from sitecrew.cli.office.opening import office_of

    office_of(ctx).watch(json=json)


@app.command("run-now", epilog=examples("sitecrew install run-now"))
def run_now(ctx: typer.Context, json: Json = False) -> None:
    """Start a batch now instead of at the next tick."""
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal

    command_id = office_of(ctx).run_now()
    if json:
        terminal.document({"command_id": command_id})
    terminal.note("sent: an installer starts a batch once it receives this; follow with `sitecrew install watch`")


def _states(ctx: typer.Context, wanted: str) -> list[State]:
    names = known(ctx, [name.strip() for name in wanted.split(",")], _ALIASES, "--state")
    chosen = {state for name in names for state in _ALIASES[name]}
    return [state for state in State if state in chosen]
