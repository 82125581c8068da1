"""The templates that letters are written on: ours, the operator's before them, and what is said when one is broken."""

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2.debug import rewrite_traceback_stack
from jinja2.runtime import new_context

from foundation.errors import ConfigurationError, Failed
from services.mailer.causes import MAIL_CAUSES
from services.mailer.letter.inlining import inlined_template

_OURS = Path(__file__).parent / "templates"


class Stationery:
    """All templates, read and compiled once. Rendering opens nothing.

    A file in the operator's `directory` goes before ours of the same name, and may extend it under the name
    `sitecrew/<name>`. For a letter in a language, `welcome.<site_type>.<language>.txt.j2` goes before
    `welcome.<language>.txt.j2`; without one, `welcome.<site_type>.txt.j2` before `welcome.txt.j2`. So for `html` and
    `subject`.

    Raises ConfigurationError if there is no such directory, and Failed (`template_broken`, configuration) for a
    template that cannot be read.
    """

    def __init__(self, directory: Path | None) -> None:
        if directory is not None and not directory.is_dir():
            raise ConfigurationError(f"there is no template directory {directory}; create it or clear the setting")
        ours, theirs = _load(_OURS), _load(directory) if directory else {}
        self.inlined = all(name.endswith((".txt.j2", ".subject.j2")) for name in theirs)
        """The style sheet is inlined in the templates already: no style depends on one of the operator's."""
        if self.inlined:
            css = _environment(ours).get_template("styles.css.j2").render()
            ours |= {
                name: (inlined_template(source, css), file) for name, (source, file) in ours.items() if ".html" in name
            }
        self._sources = {f"sitecrew/{name}": source for name, source in ours.items()} | ours | theirs
        self._environment = _environment(self._sources)
        self.globals = self._environment.globals
        """What every template knows: Jinja's own functions."""
        self._templates = {name: self._compiled(name) for name in self._sources}

    def languages(self, letter: str) -> list[str]:
        """Those that a text is there for."""
        named = (re.fullmatch(rf"{letter}\.(?:.+\.)?([a-z]{{2,3}}(?:_\w+)*)\.txt\.j2", name) for name in self._sources)
        return sorted({name[1] for name in named if name})

    def language(self, letter: str, site_type: str, wanted: Sequence[str]) -> str:
        """The first of these languages, or of those that they are kinds of (`de_AT` is a kind of `de`), that the
        letter can be written in; empty if there is none."""
        kinds = (kind for locale in wanted for kind in _widening(locale))
        return next((kind for kind in kinds if self.has(letter, "txt", site_type, kind)), "")

    def render(self, name: str, values: dict[str, Any]) -> str:
        """The template's text; `values` begin with `globals`. Raises Failed (`template_broken`)."""
        template = self._templates[name]
        try:
            context = new_context(self._environment, name, template.blocks, values, shared=True)
            text = "".join(template.root_render_func(context))
        except Exception:  # noqa: BLE001 - a template can raise anything at all
            raise self._broken(rewrite_traceback_stack(), name) from None
        if not text.strip():
            raise broken(f"{self.file(name)} renders to nothing")
        return text

    def has(self, letter: str, part: str, site_type: str, language: str) -> bool:
        """Whether this part can be written in this language."""
        return any(name in self._sources for name in _names(letter, part, site_type, language))

    def name(self, letter: str, part: str, site_type: str, language: str = "") -> str:
        """The template in charge of this part (`subject`, `txt`, `html`). Raises Failed (`template_broken`) if there
        is none in that language."""
        names = _names(letter, part, site_type, language)
        found = next((name for name in names if name in self._sources), None)
        if found is None:
            beside = self.file(self.name(letter, "txt", site_type, language))
            raise broken(f"{beside} has no {names[-1]} beside it")
        return found

    def is_ours(self, name: str) -> bool:
        """Whether the template of this name is not the operator's."""
        return self.file(name).startswith(f"{_OURS}/")

    def file(self, name: str) -> str:
        """Where the template of this name was read from."""
        return self._sources[name][1]

    def _compiled(self, name: str) -> jinja2.Template:
        try:
            return self._environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            raise broken(f"{self.file(name)}, line {error.lineno}: {error.message}") from None

    def _broken(self, error: BaseException, name: str) -> Failed:
        """Where it broke, and that line of the template. Not the error's own words: they may quote a password."""
        lines = {file: source.splitlines() for source, file in self._sources.values()}
        file, number = self.file(name), 1
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename in lines:
                file, number = frame.f_code.co_filename, line
        source = "".join(lines[file][number - 1 : number]).strip()
        return broken(f"{file}, line {number}: {type(error).__name__} in: {source[:200]}")


def _names(letter: str, part: str, site_type: str, language: str) -> tuple[str, str]:
    kind = f"{language}." if language else ""
    return f"{letter}.{site_type}.{kind}{part}.j2", f"{letter}.{kind}{part}.j2"


def _widening(locale: str) -> Iterator[str]:
    """`de_AT_formal`, `de_AT`, `de`."""
    parts = locale.split("_")
    yield from ("_".join(parts[:count]) for count in range(len(parts), 0, -1))


def broken(detail: str) -> Failed:
    """The failure of a template; `detail` names the file and the line, and never a value."""
    return MAIL_CAUSES.failed("template_broken", detail)


def _load(directory: Path) -> dict[str, tuple[str, str]]:
    """Template name -> (source, file)."""
    found = {}
    for path in sorted(directory.rglob("*.j2")):
        try:
            found[path.relative_to(directory).as_posix()] = (path.read_text("utf-8-sig"), str(path))
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
