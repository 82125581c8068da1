"""Tables: within the terminal's width for people, one plain line per row for programs."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rich.text import Text

from sitecrew.cli.output import terminal

_GAP = "  "
_NARROW = 6
_STYLES = {
    "failed": "red",
    "staged": "yellow",
    "waiting": "yellow",
    "installing": "cyan",
    "installed": "green",
    "sent": "green",
    "ok": "green",
    "cancelled": "dim",
}


@dataclass(frozen=True)
class Table:
    """Rows of text under headers.

    `beneath` names further columns at the end of each row. A terminal shows their values on lines of
    their own beneath the row, where whole sentences fit.
    """

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    beneath: tuple[str, ...] = field(default=())

    def show(self) -> None:
        """Print the table on stdout."""
        for line in self.for_people(terminal.width()) if terminal.on_terminal() else map(Text, self.plain()):
            terminal.out(line)

    def plain(self) -> list[str]:
        """One line per row, however long; columns are at least two spaces apart."""
        rows = [(*self.headers, *self.beneath), *(_readable(row) for row in self.rows)]
        widths = _longest(rows)
        return [_GAP.join(map(str.ljust, row, widths)).rstrip() for row in rows]

    def for_people(self, width: int) -> list[Text]:
        """Lines no longer than `width`; what does not fit in a column is wrapped, never cut off."""
        rows = [_readable(row) for row in self.rows]
        columns = len(self.headers)
        widths = _fitted(_longest([self.headers, *(row[:columns] for row in rows)]), width)
        lines = [Text(line, style="bold") for line in _folded(self.headers, widths)]
        for row in rows:
            lines += [_styled(line) for line in _folded(row[:columns], widths)]
            lines += self._beneath(row[columns:], width)
        return lines

    def _beneath(self, sentences: tuple[str, ...], width: int) -> list[Text]:
        lines = []
        for header, sentence in zip(self.beneath, sentences, strict=True):
            label = f"    {header.lower()}: "
            wrapped = textwrap.wrap(
                sentence, max(width, 40), initial_indent=label, subsequent_indent=" " * 6, break_on_hyphens=False
            )
            lines += [Text(line, style="dim") for line in wrapped] if sentence else []
        return lines


def pairs(entries: Sequence[tuple[str, str]]) -> None:
    """Print names and values on stdout, one pair per line; pairs without a value are left out."""
    shown = [(name, terminal.printable(value)) for name, value in entries if value]
    indent = max(len(name) for name, _ in shown) + 2
    for name, value in shown:
        room = max(terminal.width() - indent, 20) if terminal.on_terminal() else len(value) + 1
        first, *rest = textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) or [""]
        terminal.out(Text.assemble((name.ljust(indent), "bold"), (first, _STYLES.get(first.split(",")[0], ""))))
        for line in rest:
            terminal.out(" " * indent + line)


def sentence(text: str, indent: int, style: terminal.Style = "") -> None:
    """Print on stdout: wrapped between words on a terminal, further lines indented by `indent`; else one line."""
    text = terminal.printable(text)
    room = max(terminal.width(), 40) if terminal.on_terminal() else len(text) + 1
    for line in textwrap.wrap(
        text, room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    ):
        terminal.out(line, style)


def _readable(row: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(terminal.printable(cell) for cell in row)


def _longest(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _fitted(widths: list[int], room: int) -> list[int]:
    """The widths, with the widest narrowed until all fit."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while excess > 0 and max(widths) > _NARROW:
        widths[widths.index(max(widths))] -= 1
        excess -= 1
    return widths


def _folded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    pieces = [
        [cell[at : at + width] for at in range(0, len(cell), width)] or [""]
        for cell, width in zip(row, widths, strict=True)
    ]
    return [_GAP.join(map(str.ljust, line, widths)).rstrip() for line in zip_longest(*pieces, fillvalue="")]


def _styled(line: str) -> Text:
    text = Text(line)
    for word, style in _STYLES.items():
        text.highlight_regex(rf"(?<=\s){word}(?=\s|$)", style)
    return text
