"""How help looks: plain text of 80 columns, with examples at its end."""

import typer


def noun() -> typer.Typer:
    """A group of commands. What it is for stands in `sitecrew.cli.root`."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def examples(*lines: str) -> str:
    """An epilog that shows the command lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
