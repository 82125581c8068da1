"""`sitecrew run`: one service in this process."""

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun

app = noun()


class Service(StrEnum):
    """Those that can be run."""

    ORDER_INTAKE = "order-intake"
    INSTALLER = "installer"
    MAILER = "mailer"


@app.command(epilog=examples("sitecrew run installer", "sitecrew --config /etc/sitecrew/sitecrew.toml run mailer"))
def run(ctx: typer.Context, service: Annotated[Service, typer.Argument(help="Which of them.")]) -> None:
    """Run a service until SIGTERM or Ctrl-C, which lets it finish what it has begun."""
    from sitecrew.cli import session

    settings = session.settings_of(ctx)
    # Only the service that is wanted: each brings libraries that the others do without.
    module = import_module(f"services.{service.replace('-', '_')}.__main__")
    raise typer.Exit(module.main(settings))
