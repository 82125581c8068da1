"""Generate the JSON Schema of each type, for producers and consumers in any language."""

from inspect import cleandoc
from typing import Any

from schemas.catalogue import EventType

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(entry: EventType) -> dict[str, Any]:
    """Return the schema of one type's envelope, as a document of its own."""
    return {"$schema": DIALECT, "$id": f"urn:{entry.name.replace('.', ':')}", **envelope(entry)}


def envelope(entry: EventType, refs: str = "#/$defs/{model}") -> dict[str, Any]:
    """Return the schema of one type's envelope; `refs` is the template for references to its `$defs`."""
    made = entry.envelope.model_json_schema(ref_template=refs)
    kept = {key: made["properties"]["type"][key] for key in ("description", "title", "type")}
    made["properties"]["type"] = {"const": entry.name, **kept}
    return made | {"title": entry.name, "description": description(entry)}


def description(entry: EventType) -> str:
    """Return what the type means, in Markdown."""
    return cleandoc(entry.model.__doc__ or "")
