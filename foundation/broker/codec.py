"""Encoding and decoding events, with limits. Errors say what is wrong, and in which field."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson
from pydantic import ValidationError

from foundation.broker import Delivery
from foundation.broker.causes import MESSAGE_CAUSES
from foundation.broker.limits import MAX_BYTES
from foundation.broker.media import media_type
from foundation.broker.sender import sender_of
from foundation.broker.topology import COMMANDS, EVENTS, ORDERS
from foundation.errors import SitecrewError
from foundation.wording import in_words
from schemas import catalogue
from schemas.envelope import Event
from schemas.values import KEPT, Cause, Model, as_json, filled_in

CONTENT_TYPE = "application/cloudevents+json"
MAX_DEPTH = 32
"""Nesting of objects and arrays; ours have 5."""
_PATH = 200
"""Characters of a field's path that are shown: parts of it come from the sender."""

BINARY_PREFIXES = ("ce-", "cloudEvents_", "cloudEvents:")
"""The prefixes of CloudEvents attributes in AMQP headers: the AMQP binding's, and that of HTTP gateways."""


class Malformed(SitecrewError):
    """A message that is not a valid event. `field` is the path of the fault, `code` a stable identifier."""

    def __init__(self, code: str, field: str, detail: str, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{field}: {detail}")
        self.code = code
        self.field = field
        self.detail = detail
        self.document = document or {}
        self.errors: tuple[tuple[str, str], ...] = ((field, detail),)

    @property
    def cause(self) -> Cause:
        """The message for people, including the sender."""
        return MESSAGE_CAUSES.cause(self.code, str(self))


def encode(event: Event[Any]) -> bytes:
    """An event as CloudEvents structured JSON, without unset attributes."""
    return as_json(event)


def read(delivery: Delivery) -> Event[Any]:
    """Decode a delivery. Raises `Malformed`, also if it came through an exchange or with a routing key that is not its
    type's: the broker's permissions apply to those, and would otherwise mean nothing.

    An event of our own is read as what was accepted when it was written: rules that have changed since don't apply.
    """
    _refuse_size(delivery.size or len(delivery.body))
    event = _ours(delivery) or decode(delivery.body, delivery.content_type, delivery.headers)
    entry = catalogue.by_model(type(event.data))
    if delivery.exchange not in (ORDERS, EVENTS, COMMANDS):
        return event
    for field, code, came, right in (
        ("exchange", "wrong_exchange", delivery.exchange, entry.exchange),
        ("routing_key", "routing_key_mismatch", delivery.routing_key, entry.routing_key),
    ):
        if came != right:
            detail = f"is '{came[:80]}'; '{entry.name}' is published with '{right}'"
            raise Malformed(code, field, detail, event.model_dump(mode="json", exclude_none=True))
    return event


def _ours(delivery: Delivery) -> Event[Any] | None:
    """The event, if one of our services has published it in the form that we write; else None."""
    entry = catalogue.by_type(delivery.type)
    if entry is None or delivery.content_type != CONTENT_TYPE or not sender_of(delivery).is_service:
        return None
    try:
        event = entry.envelope.model_validate_json(delivery.body, context=KEPT)
    except ValidationError:
        return None  # decoding it with care tells what is wrong
    return event if event.type == entry.name else None


def decode(body: bytes, content_type: str = CONTENT_TYPE, headers: Mapping[str, object] | None = None) -> Event[Any]:
    """Decode an event in structured or binary mode. Raises `Malformed`."""
    _refuse_size(len(body))
    document = _document(body, _utf8(content_type, "content_type"), headers or {})
    if isinstance(written := document.get("datacontenttype"), str):
        document["datacontenttype"] = _utf8(written, "datacontenttype", document)
    entry = _entry(document)
    given = filled_in(entry.envelope, document)
    if "data" in given:
        given["data"] = filled_in(entry.model, given["data"])
    try:
        return entry.envelope.model_validate(given)
    except ValidationError as error:
        raise _invalid(error, document) from None


def _refuse_size(size: int) -> None:
    if size > MAX_BYTES:
        raise Malformed("too_large", "body", f"has {size} bytes; the limit is {MAX_BYTES}")


def digest(event: Event[Any]) -> str:
    """A digest of the event's content: equal for equal content, however and whenever it is sent."""
    about = f"{event.type}\n{event.subject or ''}\n".encode()
    return blake2b(about + as_json(event.data), digest_size=16).hexdigest()


def _document(body: bytes, content_type: str, headers: Mapping[str, object]) -> dict[str, Any]:
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise Malformed("not_json", "body", "is written in UTF-16; send UTF-8")
    try:
        content = orjson.loads(body.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise Malformed("not_json", "body", f"is not valid JSON: {error}") from None
    attributes = {} if content_type == CONTENT_TYPE else _attributes(headers)
    document = {**attributes, "data": content} if attributes else content
    # Counting brackets is cheap and tells nearly every event from what needs the careful look.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_depth(content, document)
    if not isinstance(document, dict):
        raise Malformed("not_an_event", "body", "is not a JSON object; send a CloudEvents 1.0 envelope")
    return document


def _utf8(written: str, field: str, document: Mapping[str, Any] | None = None) -> str:
    """A media type without its parameters, of which only the charset matters."""
    found = media_type(written)
    if not found.is_utf8:
        detail = f"says charset '{found.charset[:40]}'; send UTF-8, as JSON requires"
        raise Malformed("charset", field, detail, document)
    return found.name


def _attributes(headers: Mapping[str, object]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in headers.items()
        for prefix in BINARY_PREFIXES
        if name.startswith(prefix)
    }


def _entry(document: dict[str, Any]) -> catalogue.EventType:
    name = document.get("type")
    if not isinstance(name, str):
        raise Malformed(
            "no_type", "type", "is missing; it names the event, such as 'sitecrew.order.placed.v1'", document
        )
    entry = catalogue.by_type(name)
    if entry:
        return entry
    if versions := catalogue.versions_of(name):
        known = ", ".join(versions)
        raise Malformed("unknown_version", "type", f"'{name[:80]}' is an unknown version; send {known}", document)
    raise Malformed(
        "unknown_type", "type", f"'{name[:80]}' is an unknown type; schemas/export/ lists the known ones", document
    )


def _invalid(error: ValidationError, document: dict[str, Any]) -> Malformed:
    errors = tuple(
        (".".join(map(str, item["loc"])) or "body", in_words(item)) for item in error.errors(include_url=False)[:20]
    )
    malformed = Malformed("invalid", *errors[0], document)
    malformed.errors = errors
    return malformed


def _refuse_depth(content: object, document: object) -> None:
    level: list[tuple[str, object]] = [("", content)]
    for _ in range(MAX_DEPTH):
        level = [child for path, value in level for child in _children(path, value)]
        if not level:
            return
    path = ".".join(level[0][0].split(".")[:3])
    raise Malformed("too_deep", path or "body", f"is nested deeper than {MAX_DEPTH} levels", _flat(document, 2))


def _flat(document: object, levels: int) -> dict[str, Any]:
    """The top levels of a document, which say who sent it, and about what."""
    found: dict[str, Any] = {}
    for name, value in document.items() if isinstance(document, dict) else ():
        if isinstance(value, dict):
            found |= {name: _flat(value, levels - 1)} if levels > 1 else {}
        elif not isinstance(value, list):
            found[name] = value
    return found


def _children(path: str, value: object) -> Iterator[tuple[str, object]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        if isinstance(child, dict | list):
            # Cut, because a sender's long name over many small values would take gigabytes here.
            yield (f"{path}.{key}" if path else str(key))[:_PATH], child


def envelope(data: Model, *, id: str, source: str, subject: str | None, **attributes: Any) -> Event[Any]:
    """An event of our own that carries `data`."""
    entry = catalogue.by_model(type(data))
    return entry.envelope(id=id, source=source, type=entry.name, subject=subject or None, data=data, **attributes)
