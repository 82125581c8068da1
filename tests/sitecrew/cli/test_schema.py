"""`sitecrew schema`: what is exported is what the models say, and keeps what was released."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas import jsonschema
from schemas.catalogue import CATALOGUE, EventType
from schemas.files import RELEASED
from schemas.orders import OrderPlaced
from schemas.values import Model
from sitecrew.cli import contract
from tests.support.cli import sitecrew

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


class Eaten(Model):
    """An order was eaten."""

    by: str


EATEN = EventType("sitecrew.order.eaten.v2", Eaten, "events")


# The documents


def test_every_type_has_a_schema_that_names_it() -> None:
    contents = contract.contents()
    for entry in CATALOGUE:
        document = json.loads(contents[f"{entry.routing_key}.json"])
        assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert document["properties"]["type"]["const"] == entry.name
        assert document["description"]
        assert {"id", "source", "type", "data"} <= set(document["required"])


def described(property_: dict[str, Any], definitions: dict[str, Any]) -> bool:
    choices = [property_, *property_.get("anyOf", ())]
    models = [definitions[choice["$ref"].rpartition("/")[2]] for choice in choices if "$ref" in choice]
    return any(place.get("description") for place in (property_, *models))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_field_is_described(entry: EventType) -> None:
    document = jsonschema.schema(entry)
    definitions = document["$defs"]
    undescribed = [
        f"{model['title']}.{name}"
        for model in (document, *definitions.values())
        for name, property_ in model.get("properties", {}).items()
        if not described(property_, definitions)
    ]
    assert undescribed == [], "write a docstring below the field"


def test_another_model_makes_another_schema() -> None:
    made = jsonschema.schema(EATEN)
    assert made["$id"] == "urn:sitecrew:order:eaten:v2"
    assert made["$defs"]["Eaten"]["required"] == ["by"]


# export, check


def test_what_is_exported_is_what_is_checked() -> None:
    assert sitecrew("schema", "export", "out").exit_code == 0
    assert sitecrew("schema", "check", "out").exit_code == 0
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert sitecrew("schema", "export", "out").exit_code == 0
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == first


def test_the_check_names_what_differs_and_what_to_run() -> None:
    sitecrew("schema", "export", "out")
    Path("out/asyncapi.json").write_text("{}")
    Path("out/order.placed.v1.json").write_text("{}")
    Path("out/mail.sent.v1.json").unlink()
    Path("out/order.eaten.v1.json").write_text("{}")
    Path("out/package.json").write_text("not ours")
    ran = sitecrew("schema", "check", "out")
    assert ran.exit_code == 1
    assert ran.lines == [
        "mail.sent.v1.json is missing",
        "asyncapi.json differs",
        "order.placed.v1.json differs",
        "order.eaten.v1.json belongs to no type in the catalogue: delete it",
    ]
    assert "sitecrew schema export out" in ran.stderr
    assert sitecrew("schema", "check", "out", "--json").json == {"differences": ran.lines, "broken": []}


def test_the_repository_has_what_the_models_say_and_keeps_what_was_released() -> None:
    assert contract.differences(ROOT / "schemas" / "export") == []
    assert contract.unkept() == []


# The gate


class Changed(OrderPlaced):
    """A customer ordered a hosting account with a site in it."""

    coupon: str


@pytest.fixture
def _broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue with a field more that every order needs."""
    broken = tuple(replace(entry, model=Changed) if entry.model is OrderPlaced else entry for entry in CATALOGUE)
    monkeypatch.setattr(contract, "CATALOGUE", broken)


REASON = (
    "sitecrew.order.placed.v1, data.coupon: is new and required. Events from old producers would be rejected or "
    "change their meaning. Undo it, or add sitecrew.order.placed.v2 and keep v1 beside it."
)


@pytest.mark.usefixtures("_broken")
def test_a_contract_that_breaks_the_released_one_fails_with_the_reason_even_if_it_was_exported() -> None:
    sitecrew("schema", "export", "out")
    ran = sitecrew("schema", "check", "out")
    assert (ran.exit_code, ran.lines) == (1, [REASON])
    assert "docs/contract.md" in ran.stderr
    assert sitecrew("schema", "check", "out", "--json").json["broken"] == [REASON]


@pytest.mark.usefixtures("_broken")
def test_a_contract_that_breaks_the_released_one_is_not_released() -> None:
    before = RELEASED.read_bytes()
    ran = sitecrew("schema", "release")
    assert (ran.exit_code, ran.lines) == (1, [REASON])
    assert RELEASED.read_bytes() == before


def test_a_release_promises_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(contract, "RELEASED", tmp_path / "released.json")
    sitecrew("schema", "export", "out")
    ran = sitecrew("schema", "check", "out")
    assert ran.exit_code == 1
    assert " is not released yet" in ran.stdout
    assert "sitecrew schema release" in ran.stdout
    assert sitecrew("schema", "release").exit_code == 0
    assert sitecrew("schema", "check", "out").exit_code == 0
    assert set(contract.promised()["types"]) == {entry.name for entry in CATALOGUE}


def test_a_version_must_release_its_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "version", lambda: "9.0.0")
    [reason] = contract.unkept()
    assert reason.startswith("released.json: 9.0.0 is not released yet, only ")
