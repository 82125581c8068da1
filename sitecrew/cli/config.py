"""`sitecrew config`: every setting, with secrets redacted."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sitecrew.cli.help import examples, noun

if TYPE_CHECKING:
    from pydantic import BaseModel

app = noun("sitecrew config show", "sitecrew config show --defaults > sitecrew.toml")

_DEFAULT = "default"
_NAMES = {"sites.*": "sites.wordpress", "servers.*": "servers.local"}
"""Example names of a site type and a server, for the skeleton."""


@app.command(
    epilog=examples(
        "sitecrew config show",
        "sitecrew config show --json | jq '.\"timer.every\".value'",
        "sitecrew config show --defaults > sitecrew.toml",
    )
)
def show(
    ctx: typer.Context,
    defaults: Annotated[bool, typer.Option("--defaults", help="Print a commented sitecrew.toml instead.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show every setting, its value, and where it comes from."""
    from foundation.config.shown import flat
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import Table

    if defaults and json:
        raise typer.BadParameter("choose one of --defaults and --json", ctx=ctx)
    if defaults:
        terminal.raw(skeleton())
        return
    values = dict(flat(session.settings_of(ctx), ""))
    given = session.origins_of(ctx)
    if json:
        terminal.document({name: {"value": value, "from": given.get(name, _DEFAULT)} for name, value in values.items()})
        return
    rows = [(name, _text(value), _short(given.get(name, _DEFAULT))) for name, value in values.items()]
    if not terminal.on_terminal():
        Table(("SETTING", "VALUE", "FROM"), rows).show()
        return
    for line in for_people(rows, terminal.width()):
        terminal.out(line)


def show_section(those: Mapping[str, "BaseModel"], kind: str, name: str, *, json: bool) -> None:
    """Show every setting of one named section, such as a server. Raises NotFound, which suggests the nearest name."""
    from foundation.config.shown import flat
    from foundation.errors import NotFound
    from sitecrew.cli.help import not_among
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import pairs

    if name not in those:
        raise NotFound(f"{kind}: {not_among(name, those)}")
    values = dict(flat(those[name], ""))
    if json:
        terminal.document(values)
    else:
        pairs([(f"{kind}.{name}.{setting}", _text(value)) for setting, value in values.items()])


def for_people(rows: Sequence[tuple[str, str, str]], width: int) -> Iterator[str]:
    """One line per setting if it fits; a longer value goes beneath its name. Words are never broken, so that keys and
    paths can be copied."""
    column = max(len(name) for name, _, _ in rows) + 2
    for name, value, origin in rows:
        told = value if origin == _DEFAULT else f"{value}  ({origin})"
        if column + len(told) <= width:
            yield f"{name:<{column}}{told}"
            continue
        yield name
        yield from textwrap.wrap(
            told, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )


def skeleton() -> str:
    """A settings file with every setting commented out, with its default and description."""
    from foundation.config.settings import known

    folders: dict[str, list[str]] = {"": []}
    for path, info in known().items():
        folder, _, name = path.rpartition(".")
        meaning = textwrap.wrap(info.description or "", 78)
        default = None if info.default_factory or info.is_required() else info.default
        lines = ["", *(f"# {line}" for line in meaning), f"# {name} = {_toml(default)}"]
        folders[folder] = folders.get(folder, []) + lines
    # In TOML, keys without a header must come first.
    parts = [line for folder, lines in folders.items() for line in (*_header(folder), *lines)]
    return "\n".join(["# Sitecrew settings. Values that are commented out are the defaults.", *parts]) + "\n"


def _header(folder: str) -> list[str]:
    for pattern, name in _NAMES.items():
        folder = folder.replace(pattern, name)
    if "*" in folder:  # there are none by default, and each needs values
        return ["", f"# [{folder.replace('*', 'NAME')}]"]
    return ["", f"[{folder}]"] if folder else []


def _text(value: Any) -> str:
    if value in (None, ""):
        return "-"
    return value if isinstance(value, str) else _toml(value)


def _toml(value: Any) -> str:
    """A value as TOML, where JSON strings, numbers and booleans are valid."""
    import orjson
    from pydantic import SecretStr

    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if plain is None:
        return '""  # not set'
    return orjson.dumps(str(plain) if isinstance(plain, Path) else plain).decode()


def _short(origin: str) -> str:
    """A file by its name, a variable as `environment`; `--json` shows them in full."""
    return origin if origin == _DEFAULT else "environment" if origin.isupper() else Path(origin).name
