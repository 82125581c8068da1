"""Orders from files, stdin and options, validated before anything is sent."""

import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from foundation.broker import codec
from foundation.broker.codec import Malformed
from foundation.errors import SitecrewError
from foundation.wording import in_words
from schemas import catalogue
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from schemas.values import Model, filled_in
from sitecrew.cli.client import sending

ModelT = TypeVar("ModelT", bound=Model)


class Unusable(SitecrewError):
    """The command's input is invalid."""

    exit_code = 2


@dataclass(frozen=True)
class Order:
    """An event about an order, ready to be sent; `body` is its serialized form, if it came as one."""

    event: Event[Any]
    body: bytes | None = None


@dataclass(frozen=True)
class Document:
    """One JSON value and where it was read from."""

    place: str
    content: Any


def read(file: str) -> list[Document]:
    """The documents of a file (`-`: stdin): one JSON object, a list of them, or one on each line.
    Raises Unusable."""
    name = "stdin" if file == "-" else file
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {file}: {error.strerror}") from None
    content = content.removeprefix(BOM_UTF8)
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return list(_lines(name, content, str(error)))
    if isinstance(whole, list):
        return [Document(f"{name}, order {number}", one) for number, one in enumerate(whole, 1)]
    return [Document(name, whole)]


def _lines(name: str, content: bytes, why_not_one: str) -> Iterable[Document]:
    lines = [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not lines:
        raise Unusable(f"{name} is empty; expected an order as JSON")
    for number, line in lines:
        try:
            yield Document(f"{name}, line {number}", orjson.loads(line))
        except orjson.JSONDecodeError as error:
            # If not even the first line is JSON by itself, the file was meant to be one document.
            reason = why_not_one if number == lines[0][0] else f"line {number}: {error}"
            raise Unusable(f"{name} is not valid JSON: {reason}") from None


def checked(documents: Iterable[Document]) -> list[Order]:
    """Validate documents, each a CloudEvents envelope or bare order data. Raises Unusable, which names every invalid
    field of every order; nothing must be sent then."""
    orders, faults = [], []
    for document in documents:
        try:
            orders.append(_order(document.content))
        except Unusable as fault:
            faults += [f"{document.place}: {line}" for line in str(fault).split("\n")]
    if faults:
        more = [f"... and {len(faults) - 20} more"] if len(faults) > 20 else []
        raise Unusable("\n".join(["nothing was sent:", *faults[:20], *more]))
    if not orders:
        raise Unusable("the list is empty; expected at least one order")
    return orders


def _order(content: Any) -> Order:
    if not isinstance(content, dict):
        raise Unusable("is not a JSON object")
    if "specversion" in content or "type" in content:
        return _enveloped(orjson.dumps(content))
    data = validated(OrderPlaced, content)
    return Order(sending.event(data, data.order_id))


def _enveloped(body: bytes) -> Order:
    try:
        event = codec.decode(body)
    except Malformed as problem:
        raise _unusable(problem.errors, {}) from None
    wanted = catalogue.by_model(OrderPlaced).name
    if event.type != wanted:
        raise Unusable(f"type: is '{event.type}', but this command only sends '{wanted}'")
    return Order(event, body)


def validated(model: type[ModelT], fields: Mapping[str, Any], names: Mapping[str, str] | None = None) -> ModelT:
    """The model from its fields. Raises Unusable with one line per invalid field, which `names` may rename."""
    try:
        return model.model_validate(filled_in(model, fields))
    except ValidationError as error:
        faults = [(".".join(map(str, item["loc"])), in_words(item)) for item in error.errors(include_url=False)]
        raise _unusable(faults, names or {}) from None


def _unusable(faults: Sequence[tuple[str, str]], names: Mapping[str, str]) -> Unusable:
    """One line per fault, in words that need no knowledge of pydantic."""
    return Unusable("\n".join(f"{names.get(field, field)}: {fault}" for field, fault in faults))
