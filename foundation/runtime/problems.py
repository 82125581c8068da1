"""What is wrong with the settings, in words for whoever wrote them: one line each, with the place."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from foundation.runtime.sources import PREFIX, Known, Sources, variable_of

_HEADER = re.compile(r"\s*\[+\s*(?P<path>[^\]#]+?)\s*\]+")
_KEY = re.compile(r"\s*(?P<path>[^=#\[\]{}]+?)\s*=")

_WORDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite_number": "must be a finite number",
    "bool": "must be true or false",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "list_type": 'must be a list, like ["a", "b"]',
    "tuple_type": 'must be a list, like ["a", "b"]',
    "dict_type": "must be a table, like [name]",
    "model_type": "must be a table, like [name]",
    "missing": "must be given",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than": "must be less than {lt:g}",
    "literal_error": "must be one of {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
}
"""By the type of pydantic's error, or what that begins with."""


_VERBS = ("must ", "is ", "has ", "needs ")
_PATTERNS = {
    r"^[a-z][a-z0-9-]{0,31}$": "must be a lower-case letter, then up to 31 lower-case letters, digits and dashes",
    r"^[A-Za-z]+([/_+-][A-Za-z0-9]+)*$": "must be the name of a time zone, like Europe/Berlin or UTC",
    r"^/[A-Za-z0-9%/_.-]*$": "must be a structure of addresses like /%postname%/",
}


def explained(sources: Sources, known: Known, error: ValidationError | None) -> str:
    """All that is wrong: one line, or a headline and one line each. Values are never repeated."""
    lines = [f"unknown variable {name}{_suggestion(name, list(map(variable_of, known)))}" for name in sources.unknown]
    lines += [*sources.problems, *(_validation(sources, known, error) if error else ())]
    return lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} settings are wrong:", *lines])


def _validation(sources: Sources, known: Known, error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=True):
        parts = [str(part) for part in item["loc"] if part != "[key]"]
        path = ".".join(parts)
        if item["type"] == "extra_forbidden":
            names = [*known, *_folders(known)]
            yield f"{_in_file(sources, path)}: unknown setting {path}{_suggestion(path, names)}"
            continue
        words = _words(item, path)
        variable = _variable(sources, path)
        where = variable or f"{_in_file(sources, path)}: {path}".removesuffix(": ")
        yield f"{where} {words}" if words.startswith(_VERBS) else f"{where}: {words}"


def _variable(sources: Sources, path: str) -> str | None:
    """The variable that gave a value, or, where the file does not name it, something within it."""
    given = [variable for variable in sources.variables if _is_within(path, variable.setting)]
    if not given and not _line(sources.text, path):
        given = [variable for variable in sources.variables if path and _is_within(variable.setting, path)]
    return given[0].name if given else None


def _words(item: Mapping[str, Any], path: str) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], "has letters that are not allowed here")
    if path.endswith("_seconds") and kind.startswith("float"):
        return "must be a number of seconds, without a unit"
    found = next((words for name, words in _WORDS.items() if kind == name or kind.startswith(f"{name}_")), None)
    if found:
        return found.format(**{**context, "expected": str(context.get("expected", "")).replace("'", "")})
    message = re.sub(r"^Value error, ", "", item["msg"]).replace("Input should be", "must be")
    return message[:1].lower() + message[1:] if message.startswith(("Must ", "Is ")) else message


def _in_file(sources: Sources, path: str) -> str:
    if sources.place is None:
        return "settings"
    line = _line(sources.text, path)
    return f"{sources.place}, line {line}" if line else str(sources.place)


def _line(text: str, path: str) -> int | None:
    """The line in which a setting stands, or the table that it is missing from; None if it is not there."""
    best: tuple[int, int] | None = None
    header = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _HEADER.match(line):
            header = name = _dotted(found["path"])
        elif found := _KEY.match(line):
            name = ".".join(filter(None, (header, _dotted(found["path"]))))
        else:
            continue
        if _is_within(path, name) and (best is None or len(name) > best[0]):
            best = (len(name), number)
    return best[1] if best else None


def _dotted(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _is_within(path: str, setting: str) -> bool:
    return path == setting or path.startswith(f"{setting}.")


def _folders(known: Known) -> set[str]:
    parts = [path.split(".") for path in known]
    return {".".join(words[:length]) for words in parts for length in range(1, len(words)) if words[length - 1] != "*"}


def _suggestion(name: str, names: Sequence[str]) -> str:
    """The nearest name; of a last part that only one name has, or nearly, that one."""
    last = {one: re.split(r"\.|__", one)[-1] for one in names}
    own = name.removeprefix(PREFIX)
    same = difflib.get_close_matches(own, set(last.values()), n=1, cutoff=0.8)
    inside = [one for one in names if last[one] in same] + [one for one in names if one.endswith(f"__{own}")]
    close = inside if len(inside) == 1 else difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else "; `sitecrew config show` lists all settings"
