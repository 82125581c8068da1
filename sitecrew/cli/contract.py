"""The contract's documents, as the models say them, and what of it was promised."""

import json as text
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemas import asyncapi, jsonschema, released
from schemas.catalogue import CATALOGUE
from schemas.files import RELEASED, golden_events
from schemas.logs import LogLine

ASYNCAPI = "asyncapi.json"
LOG = "log.schema.json"


def types() -> int:
    """How many types there are."""
    return len(CATALOGUE)


def release() -> list[str]:
    """Write the contract down as promised, unless that breaks what was; what it would break."""
    golden = golden_events()
    broken = list(released.broken(promised(), CATALOGUE, golden))
    if not broken:
        RELEASED.write_text(written(released.contract(version("sitecrew"), CATALOGUE, golden)))
    return broken


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
        ASYNCAPI: written(asyncapi.document(version("sitecrew"), CATALOGUE, golden_events()), sort=False),
        LOG: written({"$schema": jsonschema.DIALECT, **LogLine.model_json_schema()}),
        **{f"{entry.routing_key}.json": written(jsonschema.schema(entry)) for entry in types},
    }


def written(document: Any, *, sort: bool = True) -> str:
    return text.dumps(document, indent=2, sort_keys=sort, ensure_ascii=False) + "\n"
