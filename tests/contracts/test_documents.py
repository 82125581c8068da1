"""The exported documents, read by other people's tools. `script/bootstrap node` brings those."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.broker.delay import Ladder
from foundation.config.queues import sitecrew
from schemas.catalogue import CATALOGUE
from schemas.files import golden_events

ROOT = Path(__file__).parents[2]
EXPORT = ROOT / "schemas" / "export"
NODE = ROOT / "tests" / "node"
ASYNCAPI = EXPORT / "asyncapi.json"


@pytest.fixture(scope="module", autouse=True)
def _node() -> None:
    if not (NODE / "node_modules" / ".sitecrew-stamp").exists():
        missing = "tests/node has no packages: run script/bootstrap node"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)


def node(script: str, *arguments: str, given: object = None) -> Any:
    ran = subprocess.run(
        ["node", NODE / script, *arguments], input=json.dumps(given), text=True, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# AsyncAPI's own parser


@pytest.fixture(scope="module")
def parsed(_node: None) -> Any:
    return node("asyncapi.mjs", str(ASYNCAPI))


def severe(parsed: Any) -> list[str]:
    return [found["message"] for found in parsed["diagnostics"] if found["severity"] in {"error", "warning"}]


def test_asyncapis_own_parser_finds_nothing_wrong(parsed: Any) -> None:
    assert severe(parsed) == []
    assert parsed["version"] == "3.0.0"


def test_the_parser_finds_a_channel_for_every_type_on_an_exchange_that_is_declared(parsed: Any) -> None:
    found = {(channel["address"], channel["exchange"]) for channel in parsed["channels"]}
    assert found == {(entry.routing_key, entry.exchange) for entry in CATALOGUE}
    declared = {exchange.name: exchange.kind for exchange in sitecrew(Ladder()).exchanges}
    assert {declared[exchange] for _, exchange in found} == {"topic"}


def test_the_parser_finds_one_operation_for_every_type_and_both_modes_of_what_we_receive(parsed: Any) -> None:
    found = {address: operation["action"] for operation in parsed["operations"] for address in operation["addresses"]}
    assert found == {entry.routing_key: "send" if entry.exchange == "events" else "receive" for entry in CATALOGUE}
    assert len(parsed["operations"]) == len(CATALOGUE)
    modes = {channel["address"]: len(channel["messages"]) for channel in parsed["channels"]}
    assert modes == {address: 1 if action == "send" else 2 for address, action in found.items()}


def test_the_golden_events_are_its_examples_and_valid(parsed: Any) -> None:
    received = {entry.routing_key for entry in CATALOGUE if entry.exchange != "events"}
    shown = [event for event in golden_events() if not event.binary or event.routing_key in received]
    assert (parsed["examples"], parsed["wrongExamples"]) == (len(shown), [])


def test_what_is_wrong_would_be_found(tmp_path: Path) -> None:
    document = json.loads(ASYNCAPI.read_text())
    document["components"]["messages"]["OrderPlaced"]["examples"][0]["payload"]["data"]["customer"] = "nobody"
    document["components"]["messages"]["OrderPlacedBinary"]["examples"][0]["headers"]["ce-type"] = "other"
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    assert node("asyncapi.mjs", str(tmp_path / "wrong.json"))["wrongExamples"] == [
        "OrderPlaced, full: payload/data/customer must be object",
        "OrderPlacedBinary, full.binary: headers/ce-type must be equal to constant",
    ]
    document["operations"]["receiveOrderPlaced"]["channel"]["$ref"] = "#/channels/nowhere"
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    assert severe(node("asyncapi.mjs", str(tmp_path / "wrong.json"))) != []


def test_the_document_refers_to_nothing_outside_of_itself() -> None:
    def references(value: Any) -> Iterator[str]:
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if name == "$ref":
                yield inner
            elif isinstance(inner, dict | list):
                yield from references(inner)

    assert {reference[:2] for reference in references(json.loads(ASYNCAPI.read_text()))} == {"#/"}


# A strict validator of JSON Schema


def test_every_golden_event_is_valid_by_its_exported_schema_and_not_without_its_data() -> None:
    events = [(event.routing_key, event.document) for event in golden_events() if not event.binary]
    schemas = {entry.routing_key: json.loads((EXPORT / f"{entry.routing_key}.json").read_text()) for entry in CATALOGUE}
    assert node("schemas.mjs", given=[(schemas[key], event) for key, event in events]) == [[]] * len(events)
    without = [(schemas[key], {**event, "data": None}) for key, event in events]
    assert node("schemas.mjs", given=without) == [["/data must be object"]] * len(events)
