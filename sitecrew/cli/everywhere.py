"""The global options, accepted anywhere on the line: before the noun, after it, and after the command."""

import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

QUIET, COLOURLESS, UNASKED, ACTOR = "sitecrew.quiet", "sitecrew.no_color", "sitecrew.no_input", "sitecrew.actor"
"""Keys of a context's `meta`, which all contexts of one command line share."""
HINT = "Anywhere on the line: --config PATH, -q, --no-color, --no-input, --as NAME (see `sitecrew --help`)."


def _config(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        ctx.obj = value


def _quiet(ctx: typer.Context, value: bool) -> None:
    ctx.meta[QUIET] = value or ctx.meta.get(QUIET, False)


def _no_color(ctx: typer.Context, value: bool) -> None:
    ctx.meta[COLOURLESS] = value or ctx.meta.get(COLOURLESS, False)


def _no_input(ctx: typer.Context, value: bool) -> None:
    ctx.meta[UNASKED] = value or ctx.meta.get(UNASKED, False)


def _actor(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        ctx.meta[ACTOR] = value


def _declared(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="PATH",
            help="Settings file. Default: $SITECREW_CONFIG, ./sitecrew.toml or /etc/sitecrew/sitecrew.toml.",
            callback=_config,
            expose_value=False,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Only data and errors: no progress, no hints.", callback=_quiet, expose_value=False
        ),
    ] = False,
    no_color: Annotated[
        bool,
        typer.Option("--no-color", help="No colours, as with $NO_COLOR.", callback=_no_color, expose_value=False),
    ] = False,
    no_input: Annotated[
        bool,
        typer.Option(
            "--no-input", help="Never prompt: fail where a prompt is needed.", callback=_no_input, expose_value=False
        ),
    ] = False,
    actor: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Who is acting, for the record. Default: $SITECREW_ACTOR, or your login name.",
            callback=_actor,
            expose_value=False,
        ),
    ] = None,
) -> None:
    """Declares the options that every command takes."""


@cache
def options(*, hidden: bool) -> list[Any]:
    """The global options as parameters of a command; hidden everywhere but in the root's help."""
    app = typer.Typer(add_completion=False)
    app.command()(_declared)
    found = [param for param in typer.main.get_command(app).params if param.name != "help"]
    for param in found:
        param.hidden = hidden  # type: ignore[attr-defined]  # all of them are options
    return list(found)


def obey(ctx: Any) -> None:
    """Apply the global options to logs and output; called before a command does its work."""
    from foundation.telemetry import logs
    from sitecrew.cli.client import acting
    from sitecrew.cli.output import terminal

    acting.call(ctx.meta.get(ACTOR, ""))
    logs.configure("cli", "error", sys.stderr)  # commands say what a person needs to know
    terminal.configure(quiet=ctx.meta.get(QUIET, False), colourless=ctx.meta.get(COLOURLESS, False))


def may_ask(ctx: typer.Context) -> bool:
    """Whether there is a person to prompt: stdin is a terminal, and --no-input was not given."""
    return sys.stdin.isatty() and not ctx.meta.get(UNASKED, False)


def require_yes(ctx: typer.Context, what: str, *, careful: bool) -> None:
    """Prompt for confirmation of `what`; without a terminal, go on only with what does no harm."""
    if may_ask(ctx):
        typer.confirm(f"{what[0].upper()}{what[1:]}?", abort=True, err=True)
    elif careful:
        raise typer.BadParameter(f"there is no terminal to prompt on; pass --yes to {what}", ctx=ctx)
