"""The contract's documents, generated from the models, and what of it was released."""

import json as text
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundation.version import version
from schemas import asyncapi, jsonschema, released
from schemas.catalogue import CATALOGUE
from schemas.files import RELEASED, golden_events
from schemas.logs import LogLine

ASYNCAPI = "asyncapi.json"
LOG = "log.schema.json"
OPENAPI = "openapi.json"


def types() -> int:
    """The number of event types."""
    return len(CATALOGUE)


def release() -> list[str]:
    """Record the current contract as released, unless it breaks the last release. Returns what it would break."""
    golden = golden_events()
    broken = list(released.broken(promised(), CATALOGUE, golden))
    if not broken:
        RELEASED.write_text(written(released.contract(version(), CATALOGUE, golden)))
    return broken


def differences(directory: Path) -> list[str]:
    """What an export would change, and files whose type no longer exists; one sentence each."""
    wanted = contents()
    there = {path.name: path.read_text() for path in sorted(directory.glob("*.json"))}
    stale = (name for name in there if name not in wanted and ".v" in name)
    return [
        *(f"{name} is missing" for name in wanted if name not in there),
        *(f"{name} differs" for name in wanted if there.get(name, wanted[name]) != wanted[name]),
        *(f"{name} belongs to no type in the catalogue: delete it" for name in stale),
    ]


def unkept() -> list[str]:
    """What the last release promised and no longer holds, and whether this version is unreleased; one sentence each."""
    before, now = promised(), version()
    broken = list(released.broken(before, CATALOGUE, golden_events()))
    if before["version"] != now:
        unsaid = f"{now} is not released yet, only {before['version'] or 'no version'}"
        broken.append(f"{RELEASED.name}: {unsaid}. Run `sitecrew schema release` and commit it.")
    return broken


def promised() -> released.Contract:
    """The contract of the last release."""
    nothing: released.Contract = {"version": "", "types": {}}
    return text.loads(RELEASED.read_text()) if RELEASED.exists() else nothing


def contents() -> Mapping[str, str]:
    """The exported files' names and contents, which depend only on the models."""
    types = sorted(CATALOGUE, key=lambda entry: entry.name)
    return {
        ASYNCAPI: written(asyncapi.document(version(), CATALOGUE, golden_events()), sort=False),
        **_openapi(),
        LOG: written({"$schema": jsonschema.DIALECT, **LogLine.model_json_schema()}),
        **{f"{entry.routing_key}.json": written(jsonschema.schema(entry)) for entry in types},
    }


def _openapi() -> Mapping[str, str]:
    """The HTTP API's document, if what the API needs is installed."""
    if not find_spec("fastapi"):
        return {}
    from services.api.http.app import api

    return {OPENAPI: written(api().openapi(), sort=False)}


def written(document: Any, *, sort: bool = True) -> str:
    return text.dumps(document, indent=2, sort_keys=sort, ensure_ascii=False) + "\n"
