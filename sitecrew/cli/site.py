"""`sitecrew site`: the site types in the settings."""

from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import Json

app = noun("sitecrew site list", "sitecrew site show wordpress")


@app.command("list", epilog=examples("sitecrew site list", "sitecrew site list --json"))
def list_sites(ctx: typer.Context, json: Json = False) -> None:
    """List the site types: which are sold, how they are installed and announced."""
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import Table

    sites = session.settings_of(ctx).sites
    if json:
        terminal.document({name: site.model_dump(mode="json") for name, site in sites.items()})
        return
    rows = [
        (
            name,
            "yes" if site.sold else "no",
            site.installer or name,
            "in batches" if site.stage else "at once",
            f"{site.settle_seconds:g}s",
            site.address,
            "yes" if site.welcome_email else "no",
        )
        for name, site in sites.items()
    ]
    Table(("TYPE", "SOLD", "INSTALLER", "INSTALLED", "AFTER", "ADDRESS", "EMAIL"), rows).show()


@app.command(epilog=examples("sitecrew site show wordpress", "sitecrew site show static --json"))
def show(
    ctx: typer.Context,
    site_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="Its name in the settings.", autocompletion=filters.SITE_TYPES)
    ],
    json: Json = False,
) -> None:
    """Show every setting of one site type."""
    from sitecrew.cli import config
    from sitecrew.cli.client import session

    config.show_section(session.settings_of(ctx).sites, "sites", site_type, json=json)
