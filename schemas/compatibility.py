"""Find out whom a change to a JSON Schema breaks.

It breaks producers of the old schema if the new one accepts less: what they send would be rejected, or change its
meaning. It breaks consumers of the old schema if the new one allows more: they may receive what they were promised
never to receive. Both ignore unknown fields, so a new optional field breaks nobody.

A change that can't be judged (another pattern, an unknown keyword) counts as breaking both.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One difference, and whom it breaks."""

    path: str
    """The field, such as `data.errors[].field`; empty for the whole schema."""
    what: str
    """What changed, as a clause: `maxLength was 200, is 100`."""
    producers: bool = False
    consumers: bool = False


_NOTES = {
    *("title", "description", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"),
    *("$schema", "$id", "$defs", "$comment"),
}
"""Keywords that neither allow nor forbid anything."""

_LEAST = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_MOST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_RULES = {"pattern", "format", "multipleOf", "uniqueItems"}
"""Keywords that only restrict, in ways that can't be compared."""

_WALKED = {"type", "const", "enum", "anyOf", "oneOf", "default"}
_WALKED_INTO = {"properties", "required", "items", "additionalProperties"}
_ANY = {"array", "boolean", "integer", "null", "number", "object", "string"}
_ABSENT = object()


def changes(old: Schema, new: Schema) -> Iterator[Change]:
    """Yield each difference between two schemas that breaks somebody who relies on the old one."""
    return _compare(_inlined(old, old.get("$defs", {})), _inlined(new, new.get("$defs", {})), "")


def _inlined(node: Any, definitions: Schema, within: tuple[str, ...] = ()) -> Any:
    """Return the schema with its references resolved; recursive references stay references."""
    if isinstance(node, list):
        return [_inlined(item, definitions, within) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions and name not in within:
        node = {**definitions[name], **{key: value for key, value in node.items() if key != "$ref"}}
        within = (*within, name)
    return {key: _inlined(value, definitions, within) for key, value in node.items() if key != "$defs"}


def _compare(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    if old == new:
        return
    if "default" in old and "default" in new and old["default"] != new["default"]:
        yield Change(path, f"{_turned('default', old, new)}, so leaving it out means something else", producers=True)
    was, now = _choices(old), _choices(new)
    if len(was) == len(now) == 1:
        yield from _compare_one(was[0], now[0], path)
    else:
        yield from _compare_choices(was, now, path)


def _choices(schema: Schema) -> list[Schema]:
    around = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
    return [{**around, **choice} for choice in schema.get("anyOf") or schema.get("oneOf") or [{}]]


def _compare_choices(was: list[Schema], now: list[Schema], path: str) -> Iterator[Change]:
    """Pair choices that are compatible, then those of the same type; the rest were added or removed."""
    changed, new = [], list(now)
    for choice in was:
        same = [other for other in new if not any(_compare(choice, other, path))]
        new.remove(same[0]) if same else changed.append(choice)
    for choice in changed:
        alike = [other for other in new if _types(choice) == _types(other)]
        if alike:
            new.remove(alike[0])
            yield from _compare(choice, alike[0], path)
        else:
            yield Change(path, f"may no longer be {_listed(_types(choice))}", producers=True)
    for choice in new:
        yield Change(path, f"may now be {_listed(_types(choice))}, too", consumers=True)


def _compare_one(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    if _types(old) != _types(new):
        yield _other_set(path, "type", _types(old), _types(new))
        return
    yield from _values(old, new, path)
    yield from _limits(old, new, path)
    yield from _rules(old, new, path)
    yield from _fields(old, new, path)
    yield from _items(old, new, path)


def _types(schema: Schema) -> set[str]:
    given = schema.get("type", _ANY)
    types = {given} if isinstance(given, str) else set(given)
    return types | {"integer"} if "number" in types else types


def _other_set(path: str, key: str, was: set[str], now: set[str]) -> Change:
    what = f"{key} was {_listed(was)}, is {_listed(now)}"
    return Change(path, what, producers=not was <= now, consumers=not now <= was)


def _listed(values: set[str]) -> str:
    if values == _ANY:
        return "anything"
    return " or ".join(sorted(values - {"integer"} if "number" in values else values))


def _values(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    was, now = _allowed(old), _allowed(new)
    if was is None and now is not None:
        yield Change(path, f"was any value, is only {_listed(now)}", producers=True)
    elif was is not None and now is None:
        yield Change(path, f"was only {_listed(was)}, is any value", consumers=True)
    elif was is not None and now is not None and was != now:
        yield _other_set(path, "value", was, now)


def _allowed(schema: Schema) -> set[str] | None:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if values is None else {json.dumps(value) for value in values}


def _limits(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    for key in sorted(_LEAST | _MOST):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        tighter = was is None or (now is not None and (now > was) == (key in _LEAST))
        yield Change(path, _turned(key, old, new), producers=tighter, consumers=not tighter)


def _rules(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    for key in sorted({*old, *new} - _NOTES - _LEAST - _MOST - _WALKED - _WALKED_INTO):
        was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        added, dropped = key in _RULES and was is _ABSENT, key in _RULES and now is _ABSENT
        if was != now:
            yield Change(path, _turned(key, old, new), producers=not dropped, consumers=not added)


def _turned(key: str, old: Schema, new: Schema) -> str:
    was, now = (json.dumps(side[key], ensure_ascii=False) if key in side else "not set" for side in (old, new))
    return f"{key} was {was}, is {now}"


def _fields(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    was, now = old.get("properties", {}), new.get("properties", {})
    needed, needs = set(old.get("required", ())), set(new.get("required", ()))
    for name in was:
        place = f"{path}.{name}".lstrip(".")
        if name not in now:
            yield Change(place, "is gone", producers=True, consumers=True)
            continue
        if name in needed - needs:
            yield Change(place, "was always there, is optional", consumers=True)
        if name in needs - needed:
            yield Change(place, "was optional, is required", producers=True)
        yield from _compare(was[name], now[name], place)
    for name in (name for name in now if name in needs and name not in was):
        yield Change(f"{path}.{name}".lstrip("."), "is new and required", producers=True)


def _items(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        was, now = old.get(key, True), new.get(key, True)
        if was is not now and False in (was, now):
            yield Change(path, _turned(key, old, new), producers=now is False, consumers=was is False)
        elif was is not now:
            yield from _compare({} if was is True else was, {} if now is True else now, path + suffix)
