"""`sitecrew status`: the state of everything, and what needs attention."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings.filters import Json

app = noun()


@app.command(epilog=examples("sitecrew status", "sitecrew status --json | jq '.needs[].command'"))
def status(
    ctx: typer.Context,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the services.", min=0)] = 2,
    json: Json = False,
) -> None:
    """Services, counts, the next batch, and what needs attention, with the command that retries it."""
    from sitecrew.cli.listings import overview
    from sitecrew.cli.office.opening import office_of

    overview.show(office_of(ctx), timeout, json=json)
