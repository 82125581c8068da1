"""How help looks: plain text in 80 columns, nothing truncated, examples last."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sitecrew.cli import everywhere

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 broker or API unreachable, 4 store unreachable, "
    "5 not found, 6 refused or in conflict, 130 interrupted."
)
DOCUMENTATION = "Documentation: docs/support.md for support staff, docs/operate.md for operators, docs/cli.md."


class Command(TyperCommand):
    """One command, with readable parameter names and the options that every command takes."""

    def invoke(self, ctx: Any) -> Any:
        everywhere.obey(ctx)
        return super().invoke(ctx)

    def get_short_help_str(self, limit: int = 45) -> str:
        return _first_line(self.help)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self, ctx, formatter)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write_help(self, ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return _pieces(self, ctx)


class Noun(TyperGroup):
    """A noun: the group of its commands."""

    def get_short_help_str(self, limit: int = 45) -> str:
        return _first_line(self.help)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self, ctx, formatter)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write_help(self, ctx, formatter)


class Nouns(typer.Typer):
    """An app whose commands are `Command`s."""

    def command(self, name: str | None = None, **given: Any) -> Any:
        return super().command(name, cls=Command, **given)


def noun(*lines: str) -> typer.Typer:
    """A group of commands with its examples. Its description is in `sitecrew.cli.root`."""
    return Nouns(
        cls=Noun,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        epilog=examples(*lines) if lines else None,
    )


def known(ctx: typer.Context, names: Sequence[str], those: Collection[str], option: str = "") -> Sequence[str]:
    """Return the names if all are known. Raises a usage error that suggests the nearest and lists them all."""
    if unknown := [name for name in names if name not in those]:
        raise typer.BadParameter(f"{option and f'{option}: '}{not_among(unknown[0], those)}", ctx=ctx)
    return names


def not_among(word: str, those: Iterable[str], kind: str = "") -> str:
    """The message about an unknown word: the nearest known one, and all of them."""
    names = list(those)
    near = get_close_matches(word, names, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown {kind and f'{kind} '}{word}{meant}; expected one of {', '.join(names)}"


def examples(*lines: str) -> str:
    """An epilog that shows the command lines verbatim."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _pieces(command: Any, ctx: Any) -> list[str]:
    arguments = [param for param in command.get_params(ctx) if param.param_type_name == "argument"]
    return ["[OPTIONS]", *(_argument(param) for param in arguments)]


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    name += "..." if param.nargs != 1 and not name.endswith("...") else ""
    return name if param.required else f"[{name}]"


def _write_help(command: Any, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    command.format_options(ctx, formatter)
    command.format_epilog(ctx, formatter)
    formatter.write_paragraph()
    if ctx.parent is None or isinstance(command, TyperGroup):
        formatter.write_text(EXIT_CODES)
        formatter.write_text(DOCUMENTATION)
    if ctx.parent is not None:
        formatter.write_text(everywhere.HINT)


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    shown = [param for param in command.get_params(ctx) if not param.hidden]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        if rows := [_row(param, ctx) for param in shown if param.param_type_name == kind]:
            with formatter.section(title):
                formatter.write_dl(rows)


def _row(param: Any, ctx: Any) -> tuple[str, str]:
    if param.param_type_name == "argument":
        name = _argument(param)
    else:
        names = ", ".join(sorted(param.opts, key=len))
        name = names if param.is_flag or param.count else f"{names} {param.metavar or param.name.upper()}"
    default = param.get_default(ctx, call=False) if param.show_default else None
    told = default not in (None, "", False) and not isinstance(default, (list, tuple))
    return name, f"{param.help or ''}{f'  [default: {default}]' if told else ''}".strip()
