"""`sitecrew timer`: when batches start, and whether."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings.filters import Json

app = noun("sitecrew timer show", "sitecrew timer pause --reason 'moving a server'", "sitecrew install run-now")

_Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the installer's answer.", min=0)]


@app.command(epilog=examples("sitecrew timer show", "sitecrew timer show --ticks 10 --json"))
def show(
    ctx: typer.Context,
    ticks: Annotated[int, typer.Option(metavar="N", help="How many ticks to show.", min=1, max=1000)] = 5,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for an installer.", min=0)] = 2,
    json: Json = False,
) -> None:
    """Show the next ticks of the running installer."""
    from sitecrew.cli.listings import ticking
    from sitecrew.cli.office.opening import office_of

    ticking.show(office_of(ctx), ticks, timeout, json=json)


@app.command(epilog=examples("sitecrew timer pause", "sitecrew timer pause --reason 'moving a server'"))
def pause(
    ctx: typer.Context,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="For whoever finds it paused.")] = None,
    timeout: _Timeout = 10,
    json: Json = False,
) -> None:
    """Start no batch until `timer resume`; a running one is finished."""
    from schemas.installs import TimerPause
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.office.opening import office_of

    wanted = validated(TimerPause, {"reason": reason}, {"reason": "--reason"})
    commands.carry_out(office_of(ctx), [wanted], timeout, by="installer", json=json)


@app.command(epilog=examples("sitecrew timer resume"))
def resume(ctx: typer.Context, timeout: _Timeout = 10, json: Json = False) -> None:
    """Start batches again, at the next tick."""
    from schemas.installs import TimerResume
    from sitecrew.cli.client import commands
    from sitecrew.cli.office.opening import office_of

    commands.carry_out(office_of(ctx), [TimerResume()], timeout, by="installer", json=json)
