"""`sitecrew up`: everything on one machine, for trying it out and for development."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from sitecrew.cli.help import examples, known, noun

app = noun()

_SITES = ("wordpress", "static")


@app.command(
    epilog=examples(
        "sitecrew up",
        "sitecrew up --site static --every '*/10 * * * * *'",
        "sitecrew --config var/up/sitecrew.toml install watch",
    )
)
def up(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is stored.")] = Path("var/up"),
    site: Annotated[list[str] | None, typer.Option(metavar="TYPE", help="wordpress or static; repeatable.")] = None,
    settle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How old an account must be for its install.", min=0)
    ] = None,
    every: Annotated[str | None, typer.Option(metavar="CRON", help="When batches start.")] = None,
) -> None:
    """Run broker, database, web server, mail catcher and the services until Ctrl-C."""
    sites = tuple(known(ctx, site or _SITES, _SITES, "--site"))
    servers = "RabbitMQ, MariaDB, PHP" if "wordpress" in sites else "RabbitMQ, a web server"
    typer.echo(f"starting {servers}, a mail catcher and the services in {directory} ...", err=True)
    require_demo()
    from sitecrew.stack.up import up as run_up

    raise typer.Exit(run_up(directory=directory, sites=sites, settle=settle, every=every))


def require_demo() -> None:
    """Raises ConfigurationError unless the extras `api` and `demo` are installed."""
    from foundation.errors import ConfigurationError

    if not all(map(find_spec, ("aiosmtpd", "fastapi"))):
        raise ConfigurationError("this needs the extras `api` and `demo`: pip install 'sitecrew[api,demo]'")
