"""`sitecrew schema`: the contract as JSON Schema and AsyncAPI, and what of it was promised."""

import json as text
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas import asyncapi, jsonschema, released
from schemas.catalogue import CATALOGUE
from schemas.files import RELEASED, golden_events
from schemas.logs import LogLine
from sitecrew.cli import screen
from sitecrew.cli.help import examples, noun

app = noun()

ASYNCAPI = "asyncapi.json"
LOG = "log.schema.json"

_Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are.", show_default=True)]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(epilog=examples("sitecrew schema export", "sitecrew schema export /tmp/schemas"))
def export(directory: _Directory = Path("schemas/export"), json: _Json = False) -> None:
    """Write the JSON Schema of every type and of log lines, and AsyncAPI."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {directory / name: content for name, content in contents().items()}
    for path, content in files.items():
        path.write_text(content)
    if json:
        screen.document(list(map(str, files)))
    screen.note(f"{len(CATALOGUE)} schemas, {ASYNCAPI} and {LOG} are in {directory}")


@app.command(epilog=examples("sitecrew schema check"))
def check(directory: _Directory = Path("schemas/export"), json: _Json = False) -> None:
    """See that files, models and release agree; exit code 1 if not."""
    found, broken = differences(directory), unkept()
    if json:
        screen.document({"differences": found, "broken": broken})
    for line in () if json else [*found, *broken]:
        screen.out(line)
    if found:
        screen.error(f"{directory} is not what the models say", f"run `sitecrew schema export {directory}`, commit it")
    if broken:
        screen.error("the contract is not as it was released", "see above; docs/contract.md tells what may change")
    if found or broken:
        raise typer.Exit(1)
    screen.note(f"{len(CATALOGUE)} schemas are as the models say, and as they were released")


@app.command(epilog=examples("sitecrew schema release"))
def release(json: _Json = False) -> None:
    """Promise the contract as it is now, if that breaks no promise."""
    golden = golden_events()
    broken = list(released.broken(promised(), CATALOGUE, golden))
    if json:
        screen.document({"broken": broken})
    for line in () if json else broken:
        screen.out(line)
    if broken:
        screen.error("nothing was released: this breaks what was promised", "see docs/contract.md")
        raise typer.Exit(1)
    RELEASED.write_text(_written(released.contract(version("sitecrew"), CATALOGUE, golden)))
    screen.note(f"the contract of {version('sitecrew')} is in {RELEASED}: commit it")


def differences(directory: Path) -> list[str]:
    """What export would change, and what it would leave that is of no type any more; a sentence each."""
    wanted = contents()
    there = {path.name: path.read_text() for path in sorted(directory.glob("*.json"))}
    stale = (name for name in there if name not in wanted and ".v" in name)
    return [
        *(f"{name} is missing" for name in wanted if name not in there),
        *(f"{name} differs" for name in wanted if there.get(name, wanted[name]) != wanted[name]),
        *(f"{name} is of no type in the catalogue: delete it" for name in stale),
    ]


def unkept() -> list[str]:
    """What was promised and is not so any more, or should be promised and is not; a few sentences each."""
    before, now = promised(), version("sitecrew")
    broken = list(released.broken(before, CATALOGUE, golden_events()))
    if before["version"] != now:
        unsaid = f"nothing is promised for {now} yet, only for {before['version'] or 'no version'}"
        broken.append(f"{RELEASED.name}: {unsaid}. Run `sitecrew schema release`, commit it.")
    return broken


def promised() -> released.Contract:
    """The contract of the last release."""
    nothing: released.Contract = {"version": "", "types": {}}
    return text.loads(RELEASED.read_text()) if RELEASED.exists() else nothing


def contents() -> Mapping[str, str]:
    """The files: what each is called and holds. The same for the same models, always."""
    types = sorted(CATALOGUE, key=lambda entry: entry.name)
    return {
        ASYNCAPI: _written(asyncapi.document(version("sitecrew"), CATALOGUE, golden_events()), sort=False),
        LOG: _written({"$schema": jsonschema.DIALECT, **LogLine.model_json_schema()}),
        **{f"{entry.routing_key}.json": _written(jsonschema.schema(entry)) for entry in types},
    }


def _written(document: Any, *, sort: bool = True) -> str:
    return text.dumps(document, indent=2, sort_keys=sort, ensure_ascii=False) + "\n"
