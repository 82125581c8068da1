"""`sitecrew timer`: when batches start."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings.filters import Json

app = noun("sitecrew timer show", "sitecrew install run-now")


@app.command(epilog=examples("sitecrew timer show", "sitecrew timer show --ticks 10 --json"))
def show(
    ctx: typer.Context,
    ticks: Annotated[int, typer.Option(metavar="N", help="How many ticks to show.", min=1, max=1000)] = 5,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for an installer.", min=0)] = 2,
    json: Json = False,
) -> None:
    """Show the next ticks of the running installer."""
    from sitecrew.cli.client import session
    from sitecrew.cli.listings import ticking

    ticking.show(session.settings_of(ctx), ticks, timeout, json=json)
