"""How help looks: plain text of 80 columns, with examples at its end."""

from collections.abc import Collection, Sequence

import typer


def noun() -> typer.Typer:
    """A group of commands. What it is for stands in `sitecrew.cli.root`."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def known(ctx: typer.Context, names: Sequence[str], those: Collection[str], option: str = "") -> Sequence[str]:
    """The names, if they are all known; else a usage error that lists those which are."""
    if unknown := [name for name in names if name not in those]:
        raise typer.BadParameter(f"{option} {unknown[0]} is none of {', '.join(those)}".strip(), ctx=ctx)
    return names


def examples(*lines: str) -> str:
    """An epilog that shows the command lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
