"""`sitecrew schema`: the contract as JSON Schema, for producers in any language."""

import json as text
from collections.abc import Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.catalogue import CATALOGUE, EventType
from sitecrew.cli import screen
from sitecrew.cli.help import examples, noun

app = noun()

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are.", show_default=True)]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(epilog=examples("sitecrew schema export", "sitecrew schema export /tmp/schemas"))
def export(directory: _Directory = Path("schemas/export"), json: _Json = False) -> None:
    """Write the JSON Schema of every type's envelope, one file a type."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents().items():
        (directory / name).write_text(content)
    if json:
        screen.document([str(directory / name) for name in contents()])
    screen.note(f"{len(CATALOGUE)} schemas are in {directory}")


@app.command(epilog=examples("sitecrew schema check"))
def check(directory: _Directory = Path("schemas/export"), json: _Json = False) -> None:
    """Compare the files with the models; exit code 1 if one differs."""
    found = differences(directory)
    if json:
        screen.document({"differences": found})
    for difference in found if not json else ():
        screen.out(difference)
    if found:
        screen.error(f"{directory} is not what the models say", f"run `sitecrew schema export {directory}`, commit it")
        raise typer.Exit(1)
    screen.note(f"{len(CATALOGUE)} schemas are as the models say")


def differences(directory: Path) -> list[str]:
    """What export would change, and what it would leave that is of no type any more; a sentence each."""
    wanted = contents()
    there = {path.name: path.read_text() for path in sorted(directory.glob("*.v[0-9]*.json"))}
    return [
        *(f"{name} is missing" for name in wanted if name not in there),
        *(f"{name} differs" for name in wanted if there.get(name, wanted[name]) != wanted[name]),
        *(f"{name} is of no type in the catalogue: delete it" for name in there if name not in wanted),
    ]


def contents() -> Mapping[str, str]:
    """The files: what each is called and holds. The same for the same models, always."""
    return {f"{entry.routing_key}.json": _content(entry) for entry in sorted(CATALOGUE, key=lambda entry: entry.name)}


def _content(entry: EventType) -> str:
    return text.dumps(schema(entry), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schema(entry: EventType) -> dict[str, Any]:
    """The JSON Schema of one type's envelope."""
    made = entry.envelope.model_json_schema()
    made["properties"]["type"] = {"const": entry.name, "title": "Type", "type": "string"}
    return made | {
        "$schema": _DIALECT,
        "$id": f"urn:{entry.name.replace('.', ':')}",
        "title": entry.name,
        "description": cleandoc(entry.model.__doc__ or ""),
    }
