"""Events as they once were sent. Every version of Sitecrew reads them, and so does the CloudEvents SDK."""

import json
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import amqp, rabbitmq
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from foundation.broker import codec
from foundation.broker.codec import Malformed, decode, encode
from schemas import jsonschema
from schemas.catalogue import CATALOGUE, EventType
from schemas.envelope import Event
from schemas.files import Golden, golden_events

GOLDEN = golden_events()
JSON = JSONFormat()

of_every_golden_event = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.file)
of_every_type = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)


def read(golden: Golden) -> Event[Any]:
    return decode(*golden.message())


def envelope(golden: Golden) -> dict[str, Any]:
    """What it says, whichever mode it is in."""
    document: dict[str, Any] = golden.document
    if not golden.binary:
        return document
    attributes = {name.removeprefix("ce-"): value for name, value in document["headers"].items()}
    return {**attributes, "datacontenttype": document["content_type"], "data": document["body"]}


# For ever


@of_every_golden_event
def test_it_is_read_and_nothing_that_it_says_is_lost(golden: Golden) -> None:
    event = read(golden)
    assert event.type == f"sitecrew.{golden.routing_key}"
    assert kept(envelope(golden), json.loads(encode(event))) == envelope(golden)


def kept(wanted: Any, found: Any) -> Any:
    """The part of what was found that was there before, without what defaults have added."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {name: kept(value, found[name]) for name, value in wanted.items() if name in found}
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [kept(*pair) for pair in zip(wanted, found, strict=True)]
    return found


@of_every_golden_event
def test_it_is_read_with_whatever_a_newer_minor_version_adds(golden: Golden) -> None:
    document = golden.document
    if golden.binary:
        newer = {**document, "headers": {**document["headers"], "ce-added": "1"}, "body": added_to(document["body"])}
    else:
        newer = added_to(document)
    content = json.dumps(newer).encode()
    assert read(Golden(golden.routing_key, golden.name, content)) == read(golden)


def added_to(value: Any) -> Any:
    """With an unknown field in each of its objects."""
    if isinstance(value, dict):
        return {**{name: added_to(inner) for name, inner in value.items()}, "added_later": {"deep": [1]}}
    return [added_to(inner) for inner in value] if isinstance(value, list) else value


@of_every_type
def test_every_type_has_a_minimal_a_full_and_a_binary_one(entry: EventType) -> None:
    names = {golden.name for golden in GOLDEN if golden.routing_key == entry.routing_key}
    assert {"minimal", "full", "full.binary"} <= names, f"write them to schemas/golden/{entry.routing_key}/"


def test_every_one_is_of_a_type_that_is_read() -> None:
    assert {golden.routing_key for golden in GOLDEN} == {entry.routing_key for entry in CATALOGUE}


@of_every_type
def test_from_the_minimal_one_nothing_can_be_taken_away(entry: EventType) -> None:
    [minimal] = [golden for golden in GOLDEN if golden.file == f"{entry.routing_key}/minimal.json"]
    for path in set(paths(minimal.document)) - {".specversion"}:
        document = minimal.document
        *parents, last = path.split(".")[1:]
        del reduce(getitem, parents, document)[last]
        with pytest.raises(Malformed, match=last):
            decode(json.dumps(document).encode())


ATTRIBUTES = {f".{name}" for golden in GOLDEN for name in envelope(golden)}
"""Those of the envelope are the same for every type: it is enough that one type shows them."""


@of_every_type
def test_every_field_is_shown_by_one(entry: EventType) -> None:
    shown = {path for golden in GOLDEN if golden.routing_key == entry.routing_key for path in paths(envelope(golden))}
    shown |= ATTRIBUTES
    schema = jsonschema.schema(entry)
    unseen = set(fields(schema, schema["$defs"])) - shown
    assert unseen == set(), f"write another golden event to schemas/golden/{entry.routing_key}/ that has them"


def paths(value: Any, path: str = "") -> Iterator[str]:
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield f"{path}.{name}"
        yield from paths(inner, f"{path}.{name}")
    for inner in value if isinstance(value, list) else ():
        yield from paths(inner, path)


def fields(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(inner, definitions, f"{path}.{name}")
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        yield from fields(inner, definitions, path)


# The CloudEvents SDK, which knows nothing of us


def said(event: Event[Any]) -> tuple[dict[str, Any], Any]:
    """Attributes and data, as the SDK has them."""
    attributes = event.model_dump(exclude={"data"}, exclude_none=True)
    return attributes, json.loads(encode(event))["data"]


def heard(event: BaseCloudEvent, *, timeless: bool) -> tuple[dict[str, Any], Any]:
    """The same of an event of the SDK, which gives a time to those that have none."""
    attributes = event.get_attributes()
    return {name: value for name, value in attributes.items() if not (timeless and name == "time")}, event.get_data()


def of_the_sdk(event: Event[Any]) -> CloudEvent:
    attributes, data = said(event)
    return CloudEvent(attributes=attributes, data=data)


def read_back(golden: Golden, body: bytes, content_type: str | None, headers: Mapping[str, Any]) -> Event[Any]:
    event = decode(body, content_type or "", headers)
    return event if read(golden).time else event.model_copy(update={"time": None})


@of_every_golden_event
def test_the_sdk_reads_what_we_write(golden: Golden) -> None:
    event = read(golden)
    message = rabbitmq.RabbitMQMessage(headers={}, content_type=codec.CONTENT_TYPE, body=encode(event))
    assert heard(rabbitmq.from_rabbitmq(message, JSON), timeless=event.time is None) == said(event)


@pytest.mark.parametrize("golden", [event for event in GOLDEN if event.binary], ids=lambda golden: golden.file)
def test_the_sdk_reads_our_events_in_binary_mode_as_we_do(golden: Golden) -> None:
    body, content_type, headers = golden.message()
    message = rabbitmq.RabbitMQMessage(headers=headers, content_type=content_type, body=body)
    assert heard(rabbitmq.from_rabbitmq(message, JSON), timeless=False) == said(read(golden))


@of_every_golden_event
def test_we_read_what_the_sdk_writes_in_structured_mode(golden: Golden) -> None:
    message = rabbitmq.to_structured(of_the_sdk(read(golden)), JSON)
    assert message.headers == {}
    assert read_back(golden, message.body, message.content_type, message.headers) == read(golden)


@of_every_golden_event
def test_we_read_what_the_sdk_writes_in_binary_mode(golden: Golden) -> None:
    message = rabbitmq.to_binary(of_the_sdk(read(golden)), JSON)
    assert message.headers["ce-type"] == read(golden).type
    assert read_back(golden, message.body, message.content_type, message.headers) == read(golden)


@of_every_golden_event
def test_we_read_what_the_sdk_writes_for_amqp_1_0_with_its_time_as_a_number(golden: Golden) -> None:
    message = amqp.to_binary(of_the_sdk(read(golden)), JSON)
    headers = message.application_properties
    assert isinstance(headers["cloudEvents_time"], int)
    assert read_back(golden, message.application_data, message.properties["content-type"], headers) == read(golden)
