"""Explain what is wrong with the settings to whoever wrote them: one line each, with the place."""

import difflib
import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from foundation.config.sources import PREFIX, Known, Sources, variable_of
from foundation.wording import in_words

_HEADER = re.compile(r"\s*\[+\s*(?P<path>[^\]#]+?)\s*\]+")
_KEY = re.compile(r"\s*(?P<path>[^=#\[\]{}]+?)\s*=")

_VERBS = ("must ", "is ", "has ", "needs ")


def explained(sources: Sources, known: Known, error: ValidationError | None) -> str:
    """Return everything that is wrong: one line, or a headline and one line per problem. Never repeats a value."""
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
        words = in_words(item)
        variable = _variable(sources, path)
        where = variable or f"{_in_file(sources, path)}: {path}".removesuffix(": ")
        yield f"{where} {words}" if words.startswith(_VERBS) else f"{where}: {words}"


def _variable(sources: Sources, path: str) -> str | None:
    """Return the variable that set a value or, if the file doesn't mention it, one that set something inside it."""
    given = [variable for variable in sources.variables if _is_within(path, variable.setting)]
    if not given and not _line(sources.text, path):
        given = [variable for variable in sources.variables if path and _is_within(variable.setting, path)]
    return given[0].name if given else None


def _in_file(sources: Sources, path: str) -> str:
    if sources.place is None:
        return "settings"
    line = _line(sources.text, path)
    return f"{sources.place}, line {line}" if line else str(sources.place)


def _line(text: str, path: str) -> int | None:
    """Return the line number of a setting, or of the table it is missing from; None if neither is there."""
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
    """Suggest the closest known name; a last part that is unique, or nearly, is enough to find it."""
    last = {one: re.split(r"\.|__", one)[-1] for one in names}
    own = name.removeprefix(PREFIX)
    same = difflib.get_close_matches(own, set(last.values()), n=1, cutoff=0.8)
    inside = [one for one in names if last[one] in same] + [one for one in names if one.endswith(f"__{own}")]
    close = inside if len(inside) == 1 else difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else "; `sitecrew config show` lists all settings"
