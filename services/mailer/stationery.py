"""The templates that letters are written on: ours, the operator's before them, and what is said when one is broken."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from foundation.errors import ConfigurationError, Failed
from services.mailer.causes import CAUSES

_OURS = Path(__file__).parent / "templates"


class Stationery:
    """All templates, read and compiled once. Rendering opens nothing.

    A file in the operator's `directory` goes before ours of the same name, and may extend it under the name
    `sitecrew/<name>`. `welcome.<site_type>.txt.j2` goes before `welcome.txt.j2`; so for `html` and `subject`.

    Raises ConfigurationError if there is no such directory, and Failed (`template_broken`, configuration) for a
    template that cannot be read.
    """

    def __init__(self, directory: Path | None) -> None:
        if directory is not None and not directory.is_dir():
            raise ConfigurationError(f"there is no template directory {directory}; create it or clear the setting")
        theirs = _load(directory) if directory else {}
        self._sources = _load(_OURS, "sitecrew/") | _load(_OURS) | theirs
        self._environment = _environment(self._sources)
        for template in self._sources:
            self._compiled(template)

    def render(self, letter: str, part: str, site_type: str, values: Mapping[str, Any]) -> str:
        """One part (`subject`, `txt`, `html`) of a letter. Raises Failed (`template_broken`)."""
        name = self.name(letter, part, site_type)
        try:
            text = self._compiled(name).render(values)
        except Exception as error:  # noqa: BLE001 - a template can raise anything at all
            raise self._broken(error, name) from None
        if not text.strip():
            raise broken(f"{self.file(name)} renders to nothing")
        return text

    def name(self, letter: str, part: str, site_type: str) -> str:
        """The template in charge of this part for this site type."""
        special = f"{letter}.{site_type}.{part}.j2"
        return special if special in self._sources else f"{letter}.{part}.j2"

    def file(self, name: str) -> str:
        """Where the template of this name was read from."""
        return self._sources[name][1]

    def _compiled(self, name: str) -> jinja2.Template:
        try:
            return self._environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            raise broken(f"{self.file(name)}, line {error.lineno}: {error.message}") from None

    def _broken(self, error: Exception, name: str) -> Failed:
        """Where it broke, and that line of the template. Not the error's own words: they may quote a password."""
        lines = {file: source.splitlines() for source, file in self._sources.values()}
        file, number = self.file(name), 1
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename in lines:
                file, number = frame.f_code.co_filename, line
        source = "".join(lines[file][number - 1 : number]).strip()
        return broken(f"{file}, line {number}: {type(error).__name__} in: {source[:200]}")


def broken(detail: str) -> Failed:
    """The failure of a template; `detail` names the file and the line, and never a value."""
    return CAUSES.failed("template_broken", detail)


def _load(directory: Path, prefix: str = "") -> dict[str, tuple[str, str]]:
    """Template name -> (source, file)."""
    found = {}
    for path in sorted(directory.rglob("*.j2")):
        try:
            found[prefix + path.relative_to(directory).as_posix()] = (path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise broken(f"{path} cannot be read as UTF-8 text ({type(error).__name__})") from None
    return found


def _environment(sources: Mapping[str, tuple[str, str]]) -> jinja2.Environment:
    def load(name: str) -> tuple[str, str, None] | None:
        return (*sources[name], None) if name in sources else None

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=lambda name: name is not None and ".html" in name,  # noqa: S701 - on wherever it is HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
