"""The root of the command: which nouns there are, what all of them share, what an error becomes.

A noun's module is imported when it is called for. Most need the broker's or the database's library,
which takes longer to import than `sitecrew --help` may take.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sitecrew.cli.help import examples

NOUNS = {
    "up": "Run everything on this machine, broker included.",
    "run": "Run one of the services until it is told to stop.",
    "order": "Place orders, have one installed anew, or cancel one.",
    "installs": "See what is pending or has failed; cancel it, retry it.",
    "parked": "Messages that could not be handled: see, requeue, purge.",
    "store": "The services' databases: bring up to date, move.",
    "topology": "Exchanges and queues on the broker: declare, show, check.",
    "schema": "The contract as JSON Schema and AsyncAPI: export, check, release.",
    "keys": "The key pair that passwords are sealed with.",
    "letter": "Welcome letters: see what failed, send again, preview.",
    "config": "Every setting: its value, and where that comes from.",
    "doctor": "Check everything that is needed, and say what to do.",
}
VERBS = ("up", "run", "doctor")
"""Those that are commands themselves."""


class Root(TyperGroup):
    """Loads nouns when they are called, and is the one place where errors become exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, line in NOUNS.items():
            self.add_command(TyperCommand(name, help=line))  # all that the list of commands needs

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - those that were not expected are raised again
            raise typer.Exit(_told(error)) from None


def load(name: str) -> Any:
    """A noun's command, with its module."""
    module = import_module(f"sitecrew.cli.{name}")
    command = typer.main.get_command(module.app) if name in VERBS else typer.main.get_group(module.app)
    command.name, command.help = name, NOUNS[name]
    return command


def _told(error: Exception) -> int:
    """Tell a person of an error that was to be expected; its exit code. Raises any other."""
    from foundation.errors import Failed, SitecrewError  # noqa: PLC0415 - pydantic, which --help does without
    from sitecrew.cli import screen  # noqa: PLC0415 - rich, the same

    match error:
        case Failed():
            screen.error(str(error), error.cause.remedy)
        case SitecrewError():
            screen.error(str(error))
        case OSError(filename=str(name)):
            screen.error(f"{name}: {error.strerror}")
        case _:
            raise error
    return getattr(error, "exit_code", 1)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - slow to import, and for this alone

        typer.echo(f"sitecrew {version('sitecrew')}")
        raise typer.Exit


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=examples("sitecrew up", "sitecrew order place order.json --wait", "sitecrew installs list"),
)


@app.callback()
def sitecrew(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="PATH", help="Settings file; ./sitecrew.toml or /etc/sitecrew/sitecrew.toml."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback has acted
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Staged provisioning for web hosts: the account at once, the site in the background, then the letter."""
    from foundation.runtime import logs  # noqa: PLC0415 - not for --help

    logs.configure("cli", "warning", sys.stderr)
    ctx.obj = config
