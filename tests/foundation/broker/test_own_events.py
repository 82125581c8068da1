"""Events of our own are read as what was accepted when they were written; others' are validated in full."""

import json
from typing import Any

import pytest

from foundation.broker import Delivery, codec
from foundation.broker.codec import Malformed
from foundation.broker.delay import DELIVER
from foundation.broker.topology import COMMANDS, EVENTS, ORDERS
from schemas import catalogue
from schemas.catalogue import CATALOGUE, EventType
from schemas.files import golden_events
from schemas.installs import InstallStaged
from schemas.orders import OrderPlaced

STAGED = catalogue.by_model(InstallStaged)
PLACED = catalogue.by_model(OrderPlaced)
NO_LONGER_ACCEPTED = [
    ("customer.email", "root@localhost"),
    ("account.domain", "shop.example.0"),
    ("account.aliases", ["xn--a.example"]),
    ("site.permalinks", "/no-tag/"),
]
"""What a rule that applies on arrival refuses today."""
NEVER_ACCEPTED = [
    ("customer.email", "ann@shop.example\r\nBcc: all@shop.example"),
    ("customer.email", f"{'a' * 255}@shop.example"),
    ("customer.name", "Ann\nMiller"),
    ("account.domain", "../../etc"),
    ("account.domain", "shop.example/x"),
    ("account.username", "root;"),
    ("account.aliases", ["www.shop.example/.."]),
    ("site.locale", "../de_DE"),
    ("site.permalinks", "/%postname%/;"),
    ("site.timezone", "Europe/Berlin'"),
    ("generation", 0),
    ("due_at", "soon"),
]


def golden(entry: EventType, size: str = "full", field: str = "", value: object = None) -> bytes:
    content = next(event.content for event in golden_events() if event.file == f"{entry.routing_key}/{size}.json")
    document: dict[str, Any] = json.loads(content)
    at, _, name = f"data.{field}".rpartition(".")
    inner: Any = document
    for step in at.split("."):
        inner = inner[step]
    if field:
        inner[name] = value
    return json.dumps(document).encode()


def came(entry: EventType, body: bytes, exchange: str, sender: str = "", **changes: Any) -> Delivery:
    headers = {"sitecrew-exchange": sender} if sender else {}
    fields = {"content_type": codec.CONTENT_TYPE, "type": entry.name, "routing_key": entry.routing_key, **changes}
    return Delivery(
        queue="q",
        body=body,
        message_id="",
        headers=headers,
        redeliveries=0,
        tag=1,
        epoch=1,
        exchange=exchange,
        **fields,
    )


@pytest.mark.parametrize(("field", "value"), NO_LONGER_ACCEPTED)
@pytest.mark.parametrize(
    ("exchange", "sender"), [(EVENTS, ""), (DELIVER, EVENTS), (DELIVER, ""), ("delay.0", ""), ("", "")]
)
def test_a_rule_that_was_tightened_stops_no_event_of_ours(
    exchange: str, sender: str, field: str, value: object
) -> None:
    event = codec.read(came(STAGED, golden(STAGED, field=field, value=value), exchange, sender))
    dumped = event.data.model_dump(mode="json")
    for step in field.split("."):
        dumped = dumped[step]
    assert dumped == value


@pytest.mark.parametrize(("field", "value"), NO_LONGER_ACCEPTED)
@pytest.mark.parametrize(("exchange", "sender"), [(DELIVER, ORDERS), ("", COMMANDS), ("shop-gateway", EVENTS)])
def test_it_stops_what_others_have_sent(exchange: str, sender: str, field: str, value: object) -> None:
    with pytest.raises(Malformed) as caught:
        codec.read(came(STAGED, golden(STAGED, field=field, value=value), exchange, sender))
    assert caught.value.field.startswith(f"data.{field}")


@pytest.mark.parametrize("exchange", [ORDERS, "shop-gateway"])
@pytest.mark.parametrize(("field", "value"), [("customer.email", "root@localhost"), ("domain", "shop.example.0")])
def test_orders_are_validated_in_full(exchange: str, field: str, value: str) -> None:
    body = golden(PLACED, field=field, value=value)
    with pytest.raises(Malformed, match=field):
        codec.read(came(PLACED, body, exchange, EVENTS))


@pytest.mark.parametrize(("field", "value"), NEVER_ACCEPTED)
@pytest.mark.parametrize("exchange", [EVENTS, DELIVER, ORDERS])
def test_nobodys_event_may_have_another_shape(exchange: str, field: str, value: object) -> None:
    with pytest.raises(Malformed) as caught:
        codec.read(came(STAGED, golden(STAGED, field=field, value=value), exchange))
    assert caught.value.field.startswith(f"data.{field}")


@pytest.mark.parametrize("size", ["minimal", "full"])
@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.routing_key)
def test_both_ways_of_reading_agree(entry: EventType, size: str) -> None:
    ours, others = (came(entry, golden(entry, size), DELIVER, sender) for sender in (EVENTS, ORDERS))
    assert codec.read(ours) == codec.read(others) == codec.decode(ours.body)
    assert codec.encode(codec.read(ours)) == codec.encode(codec.read(others))


@pytest.mark.parametrize(
    "changes", [{"type": ""}, {"type": PLACED.name}, {"type": "x"}, {"content_type": "text/plain"}]
)
def test_what_has_other_properties_is_validated_in_full(changes: dict[str, Any]) -> None:
    assert codec.read(came(STAGED, golden(STAGED), EVENTS, **changes)).type == STAGED.name
    body = golden(STAGED, field="customer.email", value="root@localhost")
    with pytest.raises(Malformed, match=r"data\.customer\.email"):
        codec.read(came(STAGED, body, EVENTS, **changes))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"type": "x"}', b"\xff\xfe{", b'{"a":' * 99, b"\xff"])
def test_an_unreadable_one_of_ours_is_explained_like_any_other(body: bytes) -> None:
    faults = []
    for exchange in (EVENTS, ORDERS):
        with pytest.raises(Malformed) as caught:
            codec.read(came(STAGED, body, exchange))
        faults.append((caught.value.code, caught.value.errors))
    assert faults[0] == faults[1]
