"""Empty means not given: "" or null in any optional field of anything that travels."""

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import codec
from foundation.broker.codec import Malformed
from schemas.catalogue import CATALOGUE, EventType
from schemas.values import Customer, Model

GOLDEN = Path(__file__).parents[3] / "schemas" / "golden"


def minimal(routing_key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GOLDEN / routing_key / "minimal.json").read_text())
    return document


def optional(model: type[Model]) -> list[str]:
    return [name for name, field in model.model_fields.items() if not field.is_required()]


@pytest.mark.parametrize("empty", ["", None, "  "])
@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_empty_optional_fields_are_as_if_they_were_not_there(entry: EventType, empty: str | None) -> None:
    document = minimal(entry.routing_key)
    plain = codec.decode(json.dumps(document).encode())
    envelope = dict.fromkeys(set(optional(entry.envelope)) - set(document), empty)
    data = dict.fromkeys(set(optional(entry.model)) - set(document["data"]), empty)
    filled = {**document, **envelope, "data": {**document["data"], **data}}
    assert codec.decode(json.dumps(filled).encode()) == plain


def test_what_others_send_has_no_optional_fields_further_in() -> None:
    """Only the envelope and its data are looked through for empty fields."""
    others = [entry.model for entry in CATALOGUE if not entry.published]
    values = [field.annotation for model in others for field in model.model_fields.values()]
    inner = {value for value in values if isinstance(value, type) and issubclass(value, Model)}
    assert inner == {Customer}
    assert optional(Customer) == []


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("field", ["order_id", "domain", "customer"])
def test_an_empty_field_that_is_required_is_still_wrong(field: str, empty: str | None) -> None:
    document = minimal("order.placed.v1")
    document["data"][field] = empty
    with pytest.raises(Malformed, match=f"data.{field}: (?!must be given)"):
        codec.decode(json.dumps(document).encode())


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_has_no_utc_is_refused_by_its_field(time: str) -> None:
    document = minimal("order.placed.v1")
    with pytest.raises(Malformed, match=r"time: .*UTC"):
        codec.decode(json.dumps({**document, "time": time}).encode())
