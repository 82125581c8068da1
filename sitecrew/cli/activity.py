"""`sitecrew activity`: what happened and what was asked for, with who and why."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import Json, Limit, Since

app = noun()


@app.command(
    epilog=examples(
        "sitecrew activity --order 1042",
        "sitecrew activity --by maria --since 2d",
        "sitecrew activity --kind install.failed,mail.failed --follow",
    )
)
def activity(
    ctx: typer.Context,
    order: Annotated[str, typer.Option(metavar="ORDER", help="Only about this order.")] = "",
    by: Annotated[str, typer.Option(metavar="NAME", help="Only what this person or token asked for.")] = "",
    kind: Annotated[str, typer.Option(metavar="KIND,...", help="Only these, such as install.failed.")] = "",
    since: Since = "",
    limit: Limit = 100,
    follow: Annotated[bool, typer.Option("--follow", help="Show what happens from now on, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show the activity log: what happened and was asked for, by whom, and why. The api keeps it."""
    from sitecrew.cli.listings import activity_rows
    from sitecrew.cli.office.interface import ActivityQuestion
    from sitecrew.cli.office.opening import office_of

    if follow and since:
        raise typer.BadParameter("--follow shows what happens from now on; leave out --since", ctx=ctx)
    kinds = tuple(word.strip() for word in kind.split(",") if word.strip())
    question = ActivityQuestion(limit, order, by, kinds, filters.moment(since))
    office = office_of(ctx)
    if follow:
        activity_rows.follow(office.follow(question), json=json)
    else:
        activity_rows.show(office, question, json=json)
