"""Events to bytes and back: in both modes of CloudEvents, and never past the limits."""

import contextlib
import json
import string
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.broker import codec
from foundation.broker.codec import MAX_DEPTH, Malformed, decode, encode
from foundation.broker.limits import MAX_BYTES
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from schemas.values import Customer

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
DATA: dict[str, Any] = {
    "order_id": "order-1",
    "site_type": "wordpress",
    "domain": "shop.example",
    "customer": {"name": "Ann", "email": "ann@example.org"},
}
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "018f-1",
    "source": "/shop",
    "type": "sitecrew.order.placed.v1",
    "subject": "order-1",
    "time": "2026-03-01T12:00:00.250000Z",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
DOCUMENT = {**ATTRIBUTES, "data": DATA}
ORDER = OrderPlaced(
    order_id="order-1",
    site_type="wordpress",
    domain="shop.example",
    customer=Customer(name="Ann", email="ann@example.org"),
)
EVENT = codec.envelope(
    ORDER, id="018f-1", source="/shop", subject="order-1", time=NOON, traceparent=ATTRIBUTES["traceparent"]
)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=50)


ZONES = [UTC, ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=14)), timezone(-timedelta(hours=13, minutes=59))]


def written(document: object) -> bytes:
    return json.dumps(document).encode()


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.sampled_from(ZONES)))  # noqa: DTZ001
def test_a_moment_is_written_in_utc_to_the_microsecond(moment: datetime) -> None:
    event = codec.envelope(ORDER, id="1", source="/shop", subject="1", time=moment)
    time = json.loads(encode(event))["time"]
    assert time == moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert decode(encode(event)) == event


def refused(
    body: bytes, content_type: str = codec.CONTENT_TYPE, headers: Mapping[str, object] | None = None
) -> Malformed:
    with pytest.raises(Malformed) as caught:
        decode(body, content_type, headers)
    assert len(caught.value.field) <= 200, "it travels in a header"
    return caught.value


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def changed(path: str, value: object) -> dict[str, Any]:
    """The document with another value at a dotted path."""
    copy: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place[name]
    place[last] = value
    return copy


# Structured mode


def test_an_event_is_written_without_what_is_not_set() -> None:
    assert json.loads(encode(EVENT)) == {**DOCUMENT, "datacontenttype": "application/json"}


BINARY = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
JSON = (
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON;charset=UTF-8",
    ' application/json ; CHARSET = "utf8" ; profile=x',
    "application/json; charset=us-ascii",
    "application/json;",
)


@pytest.mark.parametrize("media", JSON)
def test_data_may_say_its_media_type_with_parameters(media: str) -> None:
    """As Dapr and MQTT bridges do."""
    assert decode(written({**DOCUMENT, "datacontenttype": media})) == EVENT
    event = decode(written(DOCUMENT["data"]), media, BINARY)
    assert (event.data, event.datacontenttype) == (ORDER, "application/json")


@pytest.mark.parametrize("charset", ["iso-8859-1", "UTF-16", "utf-7", "windows-1252", "no-such-charset", "\x00", "*"])
def test_another_charset_is_refused_in_words(charset: str) -> None:
    for body, content_type, headers, field in (
        (written(DOCUMENT), f"application/cloudevents+json; charset={charset}", {}, "content_type"),
        (written(DOCUMENT["data"]), f"application/json; charset={charset}", BINARY, "content_type"),
        (written({**DOCUMENT, "datacontenttype": f"application/json; charset={charset}"}), "", {}, "datacontenttype"),
    ):
        with pytest.raises(Malformed, match="send UTF-8") as problem:
            decode(body, content_type, headers)
        assert (problem.value.code, problem.value.field) == ("charset", field)


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/jsonx", "json", 7, ["a"]])
def test_data_of_another_media_type_is_refused(media: object) -> None:
    assert refused(written({**DOCUMENT, "datacontenttype": media})).field == "datacontenttype"


def test_a_byte_order_mark_at_the_beginning_is_no_fault() -> None:
    """Notepad and PowerShell write one."""
    assert decode(b"\xef\xbb\xbf" + written(DOCUMENT)) == EVENT
    assert decode(b"\xef\xbb\xbf" + written(DOCUMENT["data"]), "application/json", BINARY).data == ORDER
    assert refused(b"\xef\xbb\xbf" * 2 + written(DOCUMENT)).code == "not_json"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        text = written(DOCUMENT).decode()
        body = text.encode(encoding) if encoding == "utf-16" else f"\ufeff{text}".encode(encoding)
        assert (refused(body).code, refused(body).detail) == ("not_json", "is written in UTF-16; send UTF-8")


def test_structured_mode_is_read_whatever_parameters_its_content_type_has() -> None:
    for content_type in (
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        'Application/CloudEvents+JSON;Charset="UTF-8"',
        "Application/CloudEvents+JSON",
        "application/json",
        "",
    ):
        assert decode(written(DOCUMENT), content_type) == EVENT


def test_headers_do_not_override_a_structured_event() -> None:
    assert decode(written(DOCUMENT), codec.CONTENT_TYPE, {"ce-id": "other", "ce-type": "other"}) == EVENT


def test_times_are_written_in_utc_whatever_zone_they_were_read_in() -> None:
    event = decode(written({**DOCUMENT, "time": "2026-03-01T17:30:00.25+05:30"}))
    assert event == EVENT
    assert json.loads(encode(event))["time"] == "2026-03-01T12:00:00.250000Z"


@given(st.text(string.ascii_letters + string.digits, min_size=1, max_size=64), TEXT, TEXT)
def test_whatever_can_be_said_can_be_heard(order_id: str, id: str, source: str) -> None:
    said = codec.envelope(ORDER.model_copy(update={"order_id": order_id}), id=id, source=source, subject=order_id)
    assert decode(encode(said)) == said


# Binary mode


@pytest.mark.parametrize("prefix", codec.BINARY_PREFIXES)
def test_binary_mode_is_read_with_each_prefix(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in ATTRIBUTES.items()} | {"other": 1, "x-death": []}
    assert decode(written(DATA), "application/json", headers) == EVENT


@pytest.mark.parametrize("prefix", codec.BINARY_PREFIXES)
def test_in_binary_mode_a_missing_attribute_is_named(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in ATTRIBUTES.items() if name != "source"}
    assert refused(written(DATA), "application/json", headers).field == "source"


def test_binary_mode_reads_a_time_that_the_protocol_carries_as_a_timestamp() -> None:
    headers = {f"ce-{name}": value for name, value in ATTRIBUTES.items()} | {"ce-time": NOON}
    assert decode(written(DATA), "application/json", headers) == EVENT


# What is no event


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "not_json", "body"),
        (b"order 66", "not_json", "body"),
        (b"\xff\xfe\x00", "not_json", "body"),
        (b'{"type": "\xc3\x28"}', "not_json", "body"),
        (b'{"type": "\\ud800"}', "not_json", "body"),
        (b'\xef\xbb\xbf{"type": "com.github.push"}', "unknown_type", "type"),
        (b'{"type": NaN}', "not_json", "body"),
        (written(DOCUMENT)[:-1], "not_json", "body"),
        (written(DOCUMENT) + b"}", "not_json", "body"),
        (b"[]", "not_an_event", "body"),
        (b"null", "not_an_event", "body"),
        (b"1", "not_an_event", "body"),
        (b"1" * 400, "not_json", "body"),
        (b'"text"', "not_an_event", "body"),
        (b"{}", "no_type", "type"),
        (b'{"type": 1}', "no_type", "type"),
        (b'{"type": null}', "no_type", "type"),
        (written({**DOCUMENT, "type": "com.github.push"}), "unknown_type", "type"),
        (written({**DOCUMENT, "type": ""}), "unknown_type", "type"),
        (written({**DOCUMENT, "type": "sitecrew.order.placed.v2"}), "unknown_version", "type"),
    ],
)
def test_what_is_no_event_says_why_and_where(body: bytes, code: str, field: str) -> None:
    problem = refused(body)
    assert (problem.code, problem.field) == (code, field)
    assert str(problem).startswith(f"{field}: ")


def test_an_unknown_version_names_the_known_ones() -> None:
    problem = refused(written({**DOCUMENT, "type": "sitecrew.order.placed.v2"}))
    assert problem.detail.endswith("send sitecrew.order.placed.v1")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("specversion", "0.3"),
        ("id", ""),
        ("id", 7),
        ("id", "x" * 256),
        ("source", None),
        ("time", "yesterday"),
        ("time", "2026-03-01T12:00:00"),
        ("datacontenttype", "text/xml"),
        ("traceparent", "x" * 129),
        ("data", None),
        ("data", []),
        ("data", "text"),
        ("data.order_id", "../../etc/passwd"),
        ("data.order_id", 1),
        ("data.site_type", "WordPress"),
        ("data.domain", "localhost"),
        ("data.domain", "a" * 64 + ".example"),
        ("data.customer", {}),
        ("data.customer.name", " "),
        ("data.customer.name", "two\nlines"),
        ("data.customer.email", "ann"),
        ("data.blog_name", "x" * 201),
        ("data.server", {"nested": 1}),
    ],
)
def test_the_field_that_is_wrong_is_named(path: str, value: object) -> None:
    problem = refused(written(changed(path, value)))
    assert problem.code == "invalid"
    assert problem.field.startswith(path)
    assert problem.document["type"] == "sitecrew.order.placed.v1"


def test_every_field_that_is_wrong_is_named() -> None:
    document = {**DOCUMENT, "id": "", "data": {**DATA, "domain": "x", "site_type": "X"}}
    assert [field for field, _ in refused(written(document)).errors] == ["id", "data.site_type", "data.domain"]


def test_of_two_values_for_one_name_the_last_counts() -> None:
    body = written(DOCUMENT)
    assert decode(body.replace(b'"id": "018f-1"', b'"id": "first", "id": "018f-1"')) == EVENT


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 5000, "0." + "1" * 5000])
def test_numbers_of_absurd_size_are_refused_like_any_wrong_value(number: str) -> None:
    body = written(changed("data.order_id", 0)).replace(b'"order_id": 0', b'"order_id": ' + number.encode())
    assert refused(body).code in {"invalid", "not_json"}


# Size and depth


def test_an_event_up_to_the_limit_is_read_and_one_byte_more_is_not() -> None:
    body = written(DOCUMENT)
    assert decode(body + b" " * (MAX_BYTES - len(body))) == EVENT
    assert refused(body + b" " * (MAX_BYTES - len(body) + 1)).code == "too_large"


def test_ten_megabytes_are_not_even_looked_at() -> None:
    problem = refused(b"[" * 10_000_000)
    assert (problem.code, problem.field) == ("too_large", "body")
    assert problem.detail == "has 10000000 bytes; the limit is 262144"


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"deep": value}
    return value


@pytest.mark.parametrize("depth", [MAX_DEPTH, 1000, 20_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_absurd_depth_is_refused(depth: int, opening: str, closing: str) -> None:
    deep = opening * depth + "1" + closing * depth
    body = written({**DOCUMENT, "extra": "HERE"}).replace(b'"HERE"', deep.encode())
    assert refused(body).code in {"too_deep", "not_json"}


def test_too_deep_names_where() -> None:
    problem = refused(written(changed("data.customer", nested(MAX_DEPTH))))
    assert (problem.code, problem.field) == ("too_deep", "data.customer.deep")


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_what_is_too_deep_or_in_another_charset_still_says_whose_it_is(mode: str) -> None:
    data = {**DATA, "extra": nested(MAX_DEPTH), "list": [1]}
    if mode == "structured":
        problem = refused(written({**DOCUMENT, "data": data, "id_list": nested(200)}))
    else:
        with pytest.raises(Malformed) as caught:
            decode(written(data), "application/json", {"ce-id": DOCUMENT["id"], "ce-source": DOCUMENT["source"]})
        problem = caught.value
    whose = (problem.document["id"], problem.document["source"], problem.document["data"]["order_id"])
    assert whose == (DOCUMENT["id"], DOCUMENT["source"], DATA["order_id"])
    other = refused(written({**DOCUMENT, "datacontenttype": "application/json; charset=latin-1"}))
    assert (other.code, other.document["id"]) == ("charset", DOCUMENT["id"])


def test_what_is_nested_to_the_limit_is_read() -> None:
    # The document itself is the first level.
    assert decode(written({**DOCUMENT, "extra": nested(MAX_DEPTH - 1)})) == EVENT
    assert decode(written({**DOCUMENT, "extra": [[] for _ in range(1000)]})) == EVENT


def test_a_long_name_in_a_deep_document_does_not_grow_the_reason() -> None:
    problem = refused(written({**DOCUMENT, "x" * 100_000: nested(MAX_DEPTH)}))
    assert problem.code == "too_deep"
    assert len(str(problem)) < 300


def test_a_long_name_over_many_values_takes_no_memory_to_speak_of() -> None:
    body = b'{"%s": [%s[]]}' % (b"x" * 130_000, b"[]," * 40_000)
    tracemalloc.start()
    try:
        assert refused(body).code == "no_type"
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


# Secrets


SECRET = "tr0ub4dor-and-3"


@pytest.mark.parametrize(
    "path",
    [name for name in DOCUMENT if name not in {"type", "data"}]
    + [f"data.{name}" for name in DATA]
    + ["data.customer.name", "data.customer.email"],
)
@pytest.mark.parametrize("around", ["{}\n", " {} ".center(400), "<{}>", "{}@"])
def test_a_value_never_appears_in_the_reason(path: str, around: str) -> None:
    for value in (around.format(SECRET), [SECRET], {SECRET: SECRET}, {"x": {"password": SECRET}}):
        try:
            decode(written(changed(path, value)))
        except Malformed as problem:
            said = f"{problem} {problem.detail} {problem.errors} {problem!r} {problem.__context__ or ''}"
            assert SECRET not in said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    )
)
def test_any_json_is_an_event_or_malformed(value: object) -> None:
    for body in (written(value), written({**DOCUMENT, "data": value}), written({**ATTRIBUTES, "time": value})):
        with contextlib.suppress(Malformed):
            assert isinstance(decode(body), Event)


@given(st.binary(max_size=200), st.text(max_size=40), st.dictionaries(st.text(max_size=20), st.text() | st.integers()))
def test_any_bytes_are_an_event_or_malformed(body: bytes, content_type: str, headers: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode(body, content_type, headers)
