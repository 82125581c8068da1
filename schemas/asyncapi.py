"""Generate the contract as a self-contained AsyncAPI 3.0 document, for other people's tools.

It takes Sitecrew's point of view: Sitecrew receives orders and commands, and sends events.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from schemas import jsonschema
from schemas.catalogue import EventType
from schemas.envelope import Event
from schemas.files import Golden

VERSION = "3.0.0"
_BINDING = "0.3.0"
_STRUCTURED, _BINARY = "application/cloudevents+json", "application/json"
_REFS = "#/components/schemas/{model}"
_HEADER = "ce-"

_ABOUT = """\
Sitecrew takes an order, creates the hosting account at once, installs the customer's site in the background on a
timer, and sends the welcome email once the site answers.

Every message is a [CloudEvents 1.0](https://cloudevents.io) event. Sitecrew sends structured mode, and reads both
structured and binary mode. Exchanges are durable topic exchanges; a channel's address is the routing key. Bind to
`install.completed.*` for all versions of one event, or to `install.#` for everything that happens to installs.

Publish with the flags persistent and mandatory, and with publisher confirms. The same event may arrive more than once:
`source` and `id` together identify it. Within a version, only optional fields are added: ignore fields you don't know.
"""

_EXCHANGES = {
    "orders": "Requests from producers.",
    "commands": "Requests from staff.",
    "events": "What has happened.",
}


def document(version: str, catalogue: Sequence[EventType], golden: Sequence[Golden]) -> dict[str, Any]:
    """Return the whole document; its examples are the golden events."""
    return {
        "asyncapi": VERSION,
        "id": "urn:sitecrew",
        "info": {
            "title": "Sitecrew",
            "version": version,
            "description": _ABOUT,
            "tags": [{"name": name, "description": about} for name, about in _EXCHANGES.items()],
        },
        "defaultContentType": _STRUCTURED,
        "servers": {"amqp": _server("amqp", "5672"), "amqps": _server("amqps", "5671")},
        "channels": {entry.routing_key: _channel(entry) for entry in catalogue},
        "operations": dict(_operation(entry) for entry in catalogue),
        "components": {
            "messages": {name: made for entry in catalogue for name, made in _messages(entry, golden)},
            "schemas": _schemas(catalogue),
            "securitySchemes": {"login": {"type": "userPassword", "description": "A user of the broker."}},
        },
    }


def _server(protocol: str, port: str) -> dict[str, Any]:
    return {
        "host": "{host}:{port}",
        "pathname": "/{vhost}",
        "protocol": protocol,
        "protocolVersion": "0-9-1",
        "description": f"RabbitMQ, {'with' if protocol == 'amqps' else 'without'} TLS.",
        "variables": {
            "host": {"default": "localhost", "description": "Any node of the cluster."},
            "port": {"default": port, "description": "The broker's port."},
            "vhost": {"default": "%2F", "description": "The virtual host, percent-encoded."},
        },
        "security": [_ref("securitySchemes", "login")],
    }


def _ref(room: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{room}/{name}"}


def _channel(entry: EventType) -> dict[str, Any]:
    exchange = {"name": entry.exchange, "type": "topic", "durable": True, "autoDelete": False}
    return {
        "address": entry.routing_key,
        "title": entry.name,
        "description": jsonschema.description(entry),
        "messages": {name: _ref("messages", name) for name in _names(entry)},
        "tags": [{"name": entry.exchange}],
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": _BINDING}},
    }


def _names(entry: EventType) -> tuple[str, ...]:
    """Return the names of a type's messages: we read both modes, and write one."""
    name = entry.model.__name__
    return (name,) if entry.published else (name, f"{name}Binary")


def _operation(entry: EventType) -> tuple[str, dict[str, Any]]:
    action, how = ("send", {"deliveryMode": 2, "mandatory": True}) if entry.published else ("receive", {"ack": True})
    return f"{action}{entry.model.__name__}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{entry.routing_key}"},
        "summary": jsonschema.description(entry).partition("\n")[0],
        "messages": [{"$ref": f"#/channels/{entry.routing_key}/messages/{name}"} for name in _names(entry)],
        "tags": [{"name": entry.exchange}],
        "bindings": {"amqp": how | {"bindingVersion": _BINDING}},
    }


def _messages(entry: EventType, golden: Sequence[Golden]) -> Iterator[tuple[str, dict[str, Any]]]:
    ours = [event for event in golden if event.routing_key == entry.routing_key]
    structured, *binary = _names(entry)
    yield structured, _message(entry, _STRUCTURED, _ref("schemas", entry.name), ours)
    for name in binary:
        message = _message(entry, _BINARY, _ref("schemas", entry.model.__name__), ours)
        yield name, message | {"headers": _headers(entry)}


def _message(entry: EventType, content_type: str, payload: dict[str, str], golden: Sequence[Golden]) -> dict[str, Any]:
    mode = "structured" if content_type == _STRUCTURED else "binary"
    examples = [_example(event) for event in golden if event.binary == (mode == "binary")]
    return {
        "name": entry.name,
        "title": f"{entry.name}, in {mode} mode",
        "contentType": content_type,
        "payload": payload,
        "examples": examples,
        "bindings": {"amqp": {"messageType": entry.name, "bindingVersion": _BINDING}},
    }


def _example(event: Golden) -> dict[str, Any]:
    document = event.document
    if not event.binary:
        return {"name": event.name, "payload": document}
    return {"name": event.name, "headers": document["headers"], "payload": document["body"]}


def _headers(entry: EventType) -> dict[str, Any]:
    named = {"properties": {f"{_HEADER}type": {"const": entry.name}}}
    return {"type": "object", "allOf": [_ref("schemas", "BinaryHeaders"), named]}


def _schemas(catalogue: Sequence[EventType]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for entry in catalogue:
        made[entry.name] = jsonschema.envelope(entry, _REFS)
        made |= made[entry.name].pop("$defs")
    return {"BinaryHeaders": _binary_headers(), **dict(sorted(made.items()))}


def _binary_headers() -> dict[str, Any]:
    """Return the schema of the envelope's attributes as headers. Two are missing: AMQP has a property for the content
    type, and the data is the message's body."""
    attributes = Event[Any].model_json_schema()
    inside = {"datacontenttype", "data"}
    return {
        "type": "object",
        "description": "CloudEvents attributes. The prefixes `cloudEvents_` and `cloudEvents:` are accepted, too.",
        "properties": {f"{_HEADER}{k}": v for k, v in attributes["properties"].items() if k not in inside},
        "required": [f"{_HEADER}{name}" for name in attributes["required"] if name not in inside],
    }
