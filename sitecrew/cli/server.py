"""`sitecrew server`: the hosting servers in the settings, and whether installs begin there."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import Json

app = noun("sitecrew server list", "sitecrew server show local", "sitecrew server pause local --for 2h")

_Server = Annotated[
    str, typer.Argument(metavar="SERVER", help="Its name in the settings.", autocompletion=filters.SERVERS)
]
_Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the installer's answer.", min=0)]


@app.command("list", epilog=examples("sitecrew server list", "sitecrew server list --json"))
def list_servers(ctx: typer.Context, json: Json = False) -> None:
    """List the hosting servers: their addresses, and how they stand."""
    from sitecrew.cli.listings import servers
    from sitecrew.cli.office.opening import office_of

    servers.show(office_of(ctx), json=json)


@app.command(epilog=examples("sitecrew server show local", "sitecrew server show local --json"))
def show(
    ctx: typer.Context,
    server: _Server,
    json: Json = False,
) -> None:
    """Show every setting of one server, with secrets redacted."""
    from sitecrew.cli import config
    from sitecrew.cli.client import session

    config.show_section(session.settings_of(ctx).servers, "servers", server, json=json)


@app.command(
    epilog=examples(
        "sitecrew server pause local --reason 'a new disk'",
        "sitecrew server pause local --for 2h",
        "sitecrew server pause local --until 2026-01-31T18:00:00Z",
    )
)
def pause(
    ctx: typer.Context,
    server: _Server,
    until: Annotated[str, typer.Option(metavar="TIME", help="When the pause ends by itself: RFC 3339.")] = "",
    lasting: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long it lasts: 30m, 2h, 1d.")] = "",
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="For whoever finds it paused.")] = None,
    timeout: _Timeout = 10,
    json: Json = False,
) -> None:
    """Begin no install on a server, for a while or until `server resume`."""
    from schemas.servers import ServerPause
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.office.opening import office_of

    if until and lasting:
        raise typer.BadParameter("say either --until or --for", ctx=ctx)
    given = {"server": server, "until": filters.later(lasting) if lasting else until or None, "reason": reason}
    wanted = validated(ServerPause, given, {"server": "SERVER", "until": "--until", "reason": "--reason"})
    commands.carry_out(office_of(ctx), [wanted], timeout, by="installer", json=json)


@app.command(epilog=examples("sitecrew server resume local"))
def resume(ctx: typer.Context, server: _Server, timeout: _Timeout = 10, json: Json = False) -> None:
    """Begin installs on a server again, whether it was paused or is failing."""
    from schemas.servers import ServerResume
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.office.opening import office_of

    wanted = validated(ServerResume, {"server": server}, {"server": "SERVER"})
    commands.carry_out(office_of(ctx), [wanted], timeout, by="installer", json=json)
