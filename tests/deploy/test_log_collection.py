"""What collects logs knows the lines that we write: each field, and which of them may be a label."""

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.logs import LogLine

LOGS = Path(__file__).parents[2] / "deploy" / "logs"
TEMPLATE = json.loads((LOGS / "elasticsearch-template.json").read_text())
VECTOR = yaml.safe_load((LOGS / "vector.yaml").read_text())
FIELDS = LogLine.model_json_schema()["properties"]

TYPES: dict[tuple[str, str | None], set[str]] = {
    ("string", None): {"keyword", "text"},
    ("string", "date-time"): {"date"},
    ("integer", None): {"long"},
    ("number", None): {"double"},
}
"""What a field of the contract, by type and format, may be in Elasticsearch."""


def mapping() -> dict[str, Any]:
    """Of the fields of a line; the other two belong to data streams."""
    properties: dict[str, Any] = TEMPLATE["template"]["mappings"]["properties"]
    return {name: kind for name, kind in properties.items() if name not in {"@timestamp", "data_stream"}}


def of_the_contract(field: str) -> tuple[str, str | None]:
    """Its type and format; of a list, those of what is in it."""
    (schema,) = [kind for kind in FIELDS[field].get("anyOf", [FIELDS[field]]) if kind["type"] != "null"]
    schema = schema["items"] if schema["type"] == "array" else schema
    return schema["type"], schema.get("format")


def test_the_template_has_each_field_of_a_line_and_no_other() -> None:
    assert list(mapping()) == list(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_has_the_type_that_the_contract_gives_it(field: str) -> None:
    if of_the_contract(field) == ("object", None):
        assert mapping()[field] == {"type": "object", "enabled": False}, "kept, and not searched"
    else:
        assert mapping()[field]["type"] in TYPES[of_the_contract(field)]


def test_what_vector_writes_goes_where_the_template_holds() -> None:
    stream = VECTOR["sinks"]["elasticsearch"]["data_stream"]
    name = "-".join(stream[part] for part in ("type", "dataset", "namespace"))
    assert any(fnmatch(name, pattern) for pattern in TEMPLATE["index_patterns"])


def test_no_label_of_loki_has_many_values() -> None:
    assert VECTOR["sinks"]["loki"]["labels"] == {"job": "sitecrew", "service": "{{ service }}", "level": "{{ level }}"}
