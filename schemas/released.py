"""Compare the contract with the released one, which every later version must keep.

It is a promise to programs that we don't know, so it is kept in a file that only a release writes,
`schemas/released.json`. What is not in that file may still change freely.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas import jsonschema
from schemas.catalogue import EventType
from schemas.compatibility import Change, changes
from schemas.files import Golden

Contract = Mapping[str, Any]
"""`version`, and for each of `types` its `exchange`, the `schema` of its envelope, and in `golden` the digests of its
golden events' files."""

_PRODUCERS = "Events from old producers would be rejected or change their meaning."
_CONSUMERS = "Old consumers would receive what they were promised never to receive."
_BOTH = "Old producers still send it, and old consumers still expect it."


def contract(version: str, catalogue: Sequence[EventType], golden: Sequence[Golden]) -> Contract:
    """Return the current contract, as `version` releases it."""
    return {"version": version, "types": {entry.name: _promise(entry, golden) for entry in catalogue}}


def _promise(entry: EventType, golden: Sequence[Golden]) -> Contract:
    digests = {event.file: event.digest for event in golden if event.routing_key == entry.routing_key}
    return {"exchange": entry.exchange, "golden": digests, "schema": jsonschema.schema(entry)}


def broken(released: Contract, catalogue: Sequence[EventType], golden: Sequence[Golden]) -> Iterator[str]:
    """Yield a line for each broken promise: what it is, whom it breaks, and what to do."""
    now = {entry.name: entry for entry in catalogue}
    files = {event.file: event.digest for event in golden}
    for name, promise in released["types"].items():
        yield from _missed(promise, now[name]) if name in now else _gone(name)
        yield from _rewritten(promise["golden"], files)


def _gone(name: str) -> Iterator[str]:
    yield f"{name}: is no longer in the catalogue. {_BOTH} Put it back: a released type can't be removed."


def _missed(promise: Contract, entry: EventType) -> Iterator[str]:
    if entry.exchange != promise["exchange"]:
        moved = f"the exchange was '{promise['exchange']}', is '{entry.exchange}'"
        yield f"{entry.name}: {moved}. {_BOTH} Undo it, or add {_next(entry.name)}."
    for change in changes(promise["schema"], jsonschema.schema(entry)):
        if whom := _whom(change, entry):
            place = f"{entry.name}, {change.path}" if change.path else entry.name
            yield f"{place}: {change.what}. {whom} Undo it, or add {_next(entry.name)}."


def _whom(change: Change, entry: EventType) -> str:
    """Say whom a change breaks. Our own services consume the events as well, so events have both producers and
    consumers; of orders and commands, only Sitecrew is a consumer."""
    consumers = change.consumers and entry.published
    return " ".join([_PRODUCERS] * change.producers + [_CONSUMERS] * consumers)


def _next(name: str) -> str:
    stem, _, version = name.rpartition(".v")
    return f"{stem}.v{int(version) + 1} and keep {name.rpartition('.')[2]} beside it"


def _rewritten(promised: Mapping[str, str], files: Mapping[str, str]) -> Iterator[str]:
    for file, digest in promised.items():
        if files.get(file) != digest:
            what = "was changed" if file in files else "is gone"
            yield f"golden/{file}: {what}. Released golden events must stay readable: restore it, and add new ones."
