"""Printing: data on stdout, everything else on stderr."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from foundation.clock import utc_now

_OUT = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
_ERR = Console(stderr=True, highlight=False, markup=False, emoji=False)
_JSON = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

Style = str
"""As rich names them: `red`, `bold`, `dim`."""


_quiet = False
_COLOURLESS = {console: console.no_color for console in (_OUT, _ERR)}
"""Whether the environment turned colours off (NO_COLOR)."""


def configure(*, quiet: bool, colourless: bool) -> None:
    """Apply `--quiet` (no progress, no hints) and `--no-color`."""
    global _quiet  # noqa: PLW0603 - one process is one command line
    _quiet = quiet
    for console, unwanted in _COLOURLESS.items():
        console.no_color = colourless or unwanted


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def width() -> int:
    """The terminal's width in columns."""
    return _OUT.width


def printable(text: str) -> str:
    """The text with control characters escaped. For everything that comes from customers, producers or other
    programs."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def out(text: str | Text = "", style: Style = "") -> None:
    """Print a line of data."""
    _OUT.print(text, style=style or None)


def raw(text: str) -> None:
    """Print data verbatim."""
    sys.stdout.write(text)


def document(value: Any) -> None:
    """Print data as one JSON document."""
    sys.stdout.write(orjson.dumps(value, option=_JSON | orjson.OPT_INDENT_2).decode() + "\n")


def line(value: Any) -> None:
    """Print data as one JSON object on a line, and flush."""
    sys.stdout.write(orjson.dumps(value, option=_JSON).decode() + "\n")
    sys.stdout.flush()


def clear() -> None:
    """Clear the screen, if stdout is a terminal."""
    if on_terminal():
        _OUT.clear()


def note(text: str) -> None:
    """Print a hint for people, unless `--quiet`."""
    if not _quiet:
        _say(Text(printable(text), style="dim"))


def warn(text: str) -> None:
    """Print a warning; the command goes on."""
    _say(Text.assemble(("warning: ", "yellow"), printable(text)))


def error(message: str, remedy: str = "") -> None:
    """Print why the command failed, and what to do."""
    _say(Text.assemble(("error: ", "bold red"), "\n".join(map(printable, message.split("\n")))))
    if remedy:
        _say(Text.assemble(("what to do: ", "bold"), printable(remedy)))


def news(text: str, style: Style = "", record: Mapping[str, Any] | None = None) -> None:
    """Print progress: a line of text, or of JSON if a `record` is given and stderr is not a terminal."""
    if _quiet:
        return
    if record is None or _ERR.is_terminal:
        _say(Text(printable(text), style=style))
    else:
        sys.stderr.write(orjson.dumps({"timestamp": utc_now(), **record}, option=_JSON).decode() + "\n")


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on a terminal; call what is yielded to update its text."""
    if _quiet or not _ERR.is_terminal:
        yield lambda _: None
        return
    with _ERR.status(Text(printable(text), style="dim")) as status:
        yield lambda said: status.update(Text(printable(said), style="dim"))


def _say(text: Text) -> None:
    """Print on stderr: wrapped on a terminal, one line otherwise."""
    _ERR.print(text, soft_wrap=not _ERR.is_terminal)
