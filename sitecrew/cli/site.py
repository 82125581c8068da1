"""`sitecrew site`: the site types in the settings, and what staff have switched since."""

from typing import Annotated, Literal

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import Json

app = noun("sitecrew site list", "sitecrew site show wordpress", "sitecrew site set wordpress --stage off")

_Type = Annotated[
    str, typer.Argument(metavar="TYPE", help="Its name in the settings.", autocompletion=filters.SITE_TYPES)
]
_Switch = Literal["on", "off", "default"]


@app.command("list", epilog=examples("sitecrew site list", "sitecrew site list --json"))
def list_sites(ctx: typer.Context, json: Json = False) -> None:
    """List the site types: which are sold, how they are installed and announced."""
    from sitecrew.cli.listings import site_types
    from sitecrew.cli.office.opening import office_of

    site_types.show(office_of(ctx), json=json)


@app.command(epilog=examples("sitecrew site show wordpress", "sitecrew site show static --json"))
def show(ctx: typer.Context, site_type: _Type, json: Json = False) -> None:
    """Show every setting of one site type."""
    from sitecrew.cli import config
    from sitecrew.cli.client import session

    config.show_section(session.settings_of(ctx).sites, "sites", site_type, json=json)


@app.command(
    "set",
    epilog=examples(
        "sitecrew site set wordpress --stage off",
        "sitecrew site set wordpress --stage default --welcome-email off",
    ),
)
def set_switches(
    ctx: typer.Context,
    site_type: _Type,
    stage: Annotated[
        _Switch | None,
        typer.Option("--stage", help="Whether installs wait for the timer; default: as in the settings."),
    ] = None,
    welcome_email: Annotated[
        _Switch | None, typer.Option("--welcome-email", help="Whether the welcome email is sent.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for the services' answers.", min=0)
    ] = 10,
    json: Json = False,
) -> None:
    """Change how a site type is handled from now on, without a restart."""
    from schemas.services import SiteTypeConfigure
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.listings import site_types
    from sitecrew.cli.office.opening import office_of

    if stage is None and welcome_email is None:
        raise typer.BadParameter("say what to change: --stage, --welcome-email, or both", ctx=ctx)
    given = {"site_type": site_type, "stage": stage, "welcome_email": welcome_email}
    wanted = validated(SiteTypeConfigure, given, {"site_type": "TYPE"})
    site_types.configure(office_of(ctx), wanted, timeout, json=json)
