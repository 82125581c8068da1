"""Empty means not given: "" or null in any optional field of anything that travels."""

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import codec
from foundation.broker.codec import Malformed
from schemas.catalogue import CATALOGUE, EventType
from schemas.orders import OrderPlaced
from schemas.values import Model

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
    plain = entry.envelope.model_validate(document)
    envelope = dict.fromkeys(set(optional(entry.envelope)) - set(document), empty)
    data = dict.fromkeys(set(optional(entry.model)) - set(document["data"]), empty)
    filled = entry.envelope.model_validate({**document, **envelope, "data": {**document["data"], **data}})
    assert filled == plain


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("field", ["order_id", "domain", "customer"])
def test_an_empty_field_that_is_required_is_still_wrong(field: str, empty: str | None) -> None:
    order: dict[str, Any] = minimal("order.placed.v1")["data"]
    with pytest.raises(ValueError, match=field):
        OrderPlaced.model_validate({**order, field: empty})


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_has_no_utc_is_refused_by_its_field(time: str) -> None:
    document = minimal("order.placed.v1")
    with pytest.raises(Malformed, match=r"time: .*UTC"):
        codec.decode(json.dumps({**document, "time": time}).encode())
