"""The root command: its nouns, the options they share, and how errors become exit codes.

A noun's module is imported when the noun is used, and what its commands need when they run: importing the libraries
of broker and database would make help and completion slow.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sitecrew.cli import everywhere
from sitecrew.cli.help import Command, Noun, examples

NOUNS = {
    "up": "Run everything on this machine, broker included.",
    "run": "Run one service until it is stopped.",
    "status": "Services, counts, the next batch, and what needs attention.",
    "order": "Orders: place, list, show, reinstall, amend, cancel.",
    "install": "Pending and failed installs: list, show, retry, cancel, resolve, watch.",
    "activity": "Who did what, and what happened.",
    "parked": "Messages that could not be handled: list, edit, requeue, purge.",
    "api": "The console's staff: add, password.",
    "store": "The services' databases: migrate, copy.",
    "topology": "Exchanges and queues on the broker: declare, show, check.",
    "schema": "The contract as JSON Schema and AsyncAPI: export, check, release.",
    "keys": "The key pair that seals passwords: generate, rotate.",
    "mail": "Welcome emails: list, show, resend, preview.",
    "site": "The site types that can be ordered: list, show, set.",
    "server": "The hosting servers: list, show, pause, resume.",
    "timer": "When the next batches start: show, pause, resume.",
    "config": "Every setting: its value, and where it comes from.",
    "doctor": "Check everything Sitecrew needs, and say what to fix.",
    "audit": "Check that everything stored fits together; change nothing.",
}
VERBS = ("up", "run", "status", "activity", "doctor", "audit")
"""Nouns that are commands themselves."""
FORMER = {"installs": "install", "letter": "mail", "sites": "site"}
"""Earlier names of nouns, which keep working until 1.0 and are not shown."""


class Root(Noun):
    """Loads nouns on demand, and is the one place where errors become exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.params += everywhere.options(hidden=False)
        for name, line in NOUNS.items():
            self.add_command(Command(name, help=line))  # all that the list of commands needs

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, [FORMER.get(args[0], args[0]), *args[1:]])
        return name, load(name) if name else command, rest

    def main(self, *arguments: Any, **more: Any) -> Any:
        try:
            code = super().main(*arguments, **{**more, "standalone_mode": False})
        except (typer.TyperException, typer.Abort) as error:
            code = _usage(error)
        sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - those that were not expected are raised again
            raise typer.Exit(_told(error)) from None


def load(name: str) -> Any:
    """Import a noun's module and return its command."""
    module = import_module(f"sitecrew.cli.{name}")
    command = typer.main.get_command(module.app) if name in VERBS else typer.main.get_group(module.app)
    command.name, command.help = name, NOUNS[name]
    _add_options(command)
    return command


def _add_options(command: Any) -> None:
    command.params += everywhere.options(hidden=True)
    for inner in command.commands.values() if isinstance(command, TyperGroup) else ():
        _add_options(inner)


def _usage(error: Exception) -> int:
    """Print an error in the command line itself, in the style of all errors, and return its exit code."""
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(error.format_message()), err=True)  # type: ignore[attr-defined]  # it has one
        return 2
    from sitecrew.cli.output import terminal

    if isinstance(error, typer.Abort):
        terminal.error("aborted: nothing was changed")
        return 130 if isinstance(error.__context__, KeyboardInterrupt) else 1
    message = str(error.format_message()).removeprefix("Invalid value: ")  # type: ignore[attr-defined]  # likewise
    terminal.error(message, f"see `{context.command_path} --help`" if context else "")
    return getattr(error, "exit_code", 2)


def _told(error: Exception) -> int:
    """Print an expected error and return its exit code. Raises any other error again."""
    from foundation.errors import Failed, SitecrewError
    from sitecrew.cli.output import terminal

    match error:
        case Failed():
            terminal.error(str(error), error.cause.remedy)
        case SitecrewError():
            terminal.error(str(error))
        case OSError(filename=str(name)):
            terminal.error(f"{name}: {error.strerror}")
        case _:
            raise error
    return getattr(error, "exit_code", 1)


def _version(wanted: bool) -> None:
    if wanted:
        from foundation.version import version

        typer.echo(f"sitecrew {version()}")
        raise typer.Exit


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=examples(
        "sitecrew up",
        "sitecrew order place order.json --wait",
        "sitecrew status",
        "SITECREW_API_URL=https://api.example SITECREW_API_TOKEN_FILE=token \\",
        "    sitecrew order show 1042",
    ),
)


@app.callback()
def sitecrew(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Staged provisioning for web hosts: the account at once, the site in the background, then the email."""
