"""Reading a recipe, and explaining what is wrong with one in the operator's terms."""

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from foundation.config.sources import readable_text
from foundation.errors import Failed
from foundation.wording import in_words
from services.installer.sites.archive.recipe import Part, Recipe
from services.installer.sites.causes import failed

_SEVERAL = ("secrets", "steps", "verify")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a file. Raises `Failed` (recipe_wrong), which says what is wrong, and where."""
    try:
        document = tomllib.loads(readable_text(path))
    except tomllib.TOMLDecodeError as error:
        raise wrong(path, f"is not valid TOML: {error}") from None
    except ValueError as error:
        raise wrong(path, str(error)) from None
    except OSError as error:
        raise wrong(path, f"cannot be read: {error.strerror}") from None
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        faults = [_fault(item["loc"], item["type"], in_words(item)) for item in error.errors(include_url=False)]
        raise wrong(path, "; ".join(faults)) from None


def wrong(recipe: Path, what: str) -> Failed:
    """The error for a fault in a recipe."""
    return failed("recipe_wrong", f"{recipe}: {what}")


def keys() -> dict[str, str]:
    """Every key of a recipe by its dotted name, with its description; `*` stands for a name or a number."""
    return dict(_walk(Recipe, ""))


def _walk(part: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, info in part.model_fields.items():
        inner = list(_parts(info.annotation))
        several = get_origin(info.annotation) in (list, dict) and inner
        path = f"{prefix}{name}.*" if several else f"{prefix}{name}"
        yield f"{prefix}{name}", info.description or ""
        for one in inner:
            yield from _walk(one, f"{path}.")


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _fault(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    parts = [str(part) for part in loc]
    # Where a value may be of several kinds, pydantic names the kind behind the key.
    tag = {"steps": 2, "version": 1}.get(parts[0]) if parts else None
    if tag is not None:
        del parts[tag : tag + 1]
    place = ".".join(parts)
    if kind != "extra_forbidden":
        return f"{place}: {message}".removeprefix(": ")
    starred = [parts[0], "*", *parts[2:]] if parts[0] in _SEVERAL else parts
    section, _, name = ".".join(starred).rpartition(".")
    known = [key.rpartition(".")[2] for key in keys() if key.rpartition(".")[0] == section]
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown key {place}" + (f"; did you mean {near[0]}?" if near else "")
