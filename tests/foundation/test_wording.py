"""What is said of a wrong value: plain words everywhere, whoever sent it."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from foundation.config.settings import Settings
from foundation.wording import in_words
from schemas.orders import OrderPlaced
from services.installer.sites.archive.reading import read_recipe
from services.installer.sites.archive.recipe import Recipe
from tests.support.cli import sitecrew

PYDANTIC = (
    "Input",
    "String",
    "Value error",
    "pattern",
    "Field required",
    "valid string",
    "Extra inputs",
    "\\d",
    "[a-z",
)


class Odd(BaseModel):
    """A field of each kind that settings, events and recipes have."""

    number: int = Field(1, ge=1, le=9)
    seconds: float = 1
    wait_seconds: float = 1
    switch: bool = True
    text: str = Field("x", min_length=1, max_length=3)
    path: Path = Path()
    many: list[str] = []
    choice: Literal["a", "b"] = "a"
    inner: dict[str, int] = {}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("number", "many", "must be a whole number"),
        ("number", 1.5, "must be a whole number"),
        ("number", [], "must be a whole number"),
        ("number", 0, "must be at least 1"),
        ("number", 10, "must be at most 9"),
        ("seconds", "soon", "must be a number"),
        ("wait_seconds", "5m", "must be a number of seconds, without a unit"),
        ("switch", "perhaps", "must be true or false"),
        ("switch", [], "must be true or false"),
        ("text", 5, "must be text"),
        ("text", "", "must not be empty"),
        ("text", "long", "must have at most 3 characters"),
        ("path", 5, "must be a path"),
        ("many", "a", 'must be a list, like ["a", "b"]'),
        ("choice", "c", "must be one of a or b"),
        ("inner", 5, "must be a table of names and values"),
    ],
)
def test_a_fault_is_told_in_plain_words(field: str, value: object, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Odd.model_validate({field: value})
    assert in_words(error.value.errors()[0]) == said


def patterns(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*map(patterns, schema.values()))
    return set().union(*map(patterns, schema)) if isinstance(schema, list) else set()


@pytest.mark.parametrize("model", [Settings, OrderPlaced, Recipe])
def test_every_pattern_of_a_name_has_words_of_its_own(model: type[BaseModel]) -> None:
    faults: list[dict[str, Any]] = [
        {"type": "string_pattern_mismatch", "loc": ("x",), "ctx": {"pattern": pattern}}
        for pattern in patterns(model.model_json_schema())
    ]
    assert faults or model is Settings
    assert [fault for fault in faults if "not allowed" in in_words(fault)] == []


def test_an_option_of_the_command_is_told_what_it_may_hold() -> None:
    ran = sitecrew(
        *("order", "place", "--order-id", "20 05", "--site-type", "Word Press", "--domain", "shop"),
        *("--name", "Jo Miller", "--email", "jo"),
    )
    assert ran.exit_code == 2
    assert "--order-id: must be 1 to 64 letters, digits, dots, underscores and dashes (. _ -)" in ran.stderr
    assert [word for word in PYDANTIC if word in ran.stderr] == []


def test_a_recipe_saved_with_a_byte_order_mark_is_read_and_utf_16_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    for encoding, said in (("utf-8-sig", "must be given"), ("utf-16", "is UTF-16"), ("utf-8", "must be given")):
        path.write_text("name = 'X'\r\n", encoding=encoding)
        with pytest.raises(Exception, match=said):
            read_recipe(path)
