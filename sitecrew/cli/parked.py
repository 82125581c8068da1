"""`sitecrew parked`: messages that could not be handled, with the reason; edit, requeue or delete them."""

from typing import Annotated

import typer

from foundation.broker.topology import PARKING, UNROUTED
from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import DryRun, Json, Since, Yes

app = noun("sitecrew parked list", "sitecrew parked show 3", "sitecrew parked requeue --code db_down")

_Queue = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"{PARKING}, or {UNROUTED} for messages that no queue took.",
        autocompletion=lambda incomplete: [name for name in (PARKING, UNROUTED) if name.startswith(incomplete)],
    ),
]
_Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="From `parked list`: an id, its beginning or end, or a number."),
]
_All = Annotated[bool, typer.Option("--all", help="Every message that is parked now.")]
_Code = Annotated[str, typer.Option(metavar="CODE,...", help="Only with one of these reason codes.")]
_Order = Annotated[str, typer.Option(metavar="ORDER", help="Only about this order.")]


@app.command(
    "list",
    epilog=examples(
        "sitecrew parked list",
        "sitecrew parked list --code invalid_order --since 2h",
        "sitecrew parked list --order 1042 --json",
    ),
)
def list_parked(
    ctx: typer.Context,
    code: _Code = "",
    order: _Order = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(metavar="N", help="Show at most N, oldest first.", min=1)] = 100,
    queue: _Queue = PARKING,
    json: Json = False,
) -> None:
    """List parked messages: since when, from where, why, what to do."""
    from sitecrew.cli.listings import parked_lists

    wanted = parked_lists.Wanted(code, order, filters.moment(since))
    with parked_lists.looking(ctx, queue) as place:
        parked_lists.show(place, wanted, limit, json=json)


@app.command(epilog=examples("sitecrew parked show 3", "sitecrew parked show 01979b3e-5d7a --json"))
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="As `parked list` shows it.")],
    queue: _Queue = PARKING,
    json: Json = False,
) -> None:
    """Show one message with its headers and body, secrets masked."""
    from sitecrew.cli.listings import parked_lists

    with parked_lists.looking(ctx, queue) as place:
        [parked] = parked_lists.named(place, [name])
    parked_lists.show_one(parked, json=json)


@app.command(
    epilog=examples(
        "sitecrew parked requeue 3",
        "sitecrew parked requeue --order 1042",
        "sitecrew parked requeue --code server_root_missing --dry-run",
        "sitecrew parked requeue --all",
    )
)
def requeue(
    ctx: typer.Context,
    ids: _Ids = None,
    every: _All = False,
    code: _Code = "",
    order: _Order = "",
    since: Since = "",
    queue: _Queue = PARKING,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Put messages back into the queues they came from."""
    from sitecrew.cli.listings import parked_lists

    wanted = parked_lists.Wanted(code, order, filters.moment(since))
    parked_lists.require_choice(ctx, ids, wanted, every=every)
    with parked_lists.looking(ctx, queue) as place:
        chosen = parked_lists.chosen(place, ids, wanted)
        if dry_run:
            parked_lists.rehearse(chosen, "requeue", json=json)
        else:
            parked_lists.requeue(place, chosen, json=json)


@app.command(epilog=examples("sitecrew parked edit 3", "VISUAL=vim sitecrew parked edit 01979b3e-5d7a"))
def edit(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="As `parked list` shows it.")],
    file: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Read the corrected message from here instead.")
    ] = None,
    queue: _Queue = PARKING,
    json: Json = False,
) -> None:
    """Correct a message in your editor, and requeue it."""
    from sitecrew.cli.listings import parked_edit, parked_lists

    with parked_lists.looking(ctx, queue) as place:
        [parked] = parked_lists.named(place, [name])
        parked_edit.correct(ctx, place, parked, file, json=json)


@app.command(
    epilog=examples(
        "sitecrew parked purge 3",
        "sitecrew parked purge --code unknown_type --since 2d --dry-run",
        "sitecrew parked purge --all --yes",
    )
)
def purge(
    ctx: typer.Context,
    ids: _Ids = None,
    every: _All = False,
    code: _Code = "",
    order: _Order = "",
    since: Since = "",
    queue: _Queue = PARKING,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Permanently delete messages."""
    from sitecrew.cli.listings import parked_lists

    wanted = parked_lists.Wanted(code, order, filters.moment(since))
    parked_lists.require_choice(ctx, ids, wanted, every=every)
    with parked_lists.looking(ctx, queue) as place:
        chosen = parked_lists.chosen(place, ids, wanted)
        if dry_run:
            parked_lists.rehearse(chosen, "delete", json=json)
        elif chosen:
            parked_lists.purge(ctx, place, chosen, yes=yes, json=json)
