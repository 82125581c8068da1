"""`sitecrew server`: the hosting servers in the settings."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import Json

app = noun("sitecrew server list", "sitecrew server show local")


@app.command("list", epilog=examples("sitecrew server list", "sitecrew server list --json"))
def list_servers(ctx: typer.Context, json: Json = False) -> None:
    """List the hosting servers: addresses, web server, databases."""
    from foundation.config.shown import flat
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import Table

    settings = session.settings_of(ctx)
    if json:
        shown = {name: dict(flat(server, "")) for name, server in settings.servers.items()}
        terminal.document(
            {name: {**values, "default": name == settings.default_server} for name, values in shown.items()}
        )
        return
    rows = [
        (
            name,
            "yes" if name == settings.default_server else "",
            server.driver,
            server.address,
            server.web_address,
            "yes" if server.databases else "none",
        )
        for name, server in settings.servers.items()
    ]
    Table(("SERVER", "DEFAULT", "DRIVER", "ADDRESS", "WEB SERVER", "DATABASES"), rows).show()


@app.command(epilog=examples("sitecrew server show local", "sitecrew server show local --json"))
def show(
    ctx: typer.Context,
    server: Annotated[
        str, typer.Argument(metavar="SERVER", help="Its name in the settings.", autocompletion=filters.SERVERS)
    ],
    json: Json = False,
) -> None:
    """Show every setting of one server, with secrets redacted."""
    from sitecrew.cli import config
    from sitecrew.cli.client import session

    config.show_section(session.settings_of(ctx).servers, "servers", server, json=json)
