"""Every command line in documents, remedies and help is valid."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sitecrew.cli.root import NOUNS, load

ROOT = Path(__file__).parents[2]
_PLACES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
_CODE = [path for floor in ("foundation", "services", "sitecrew") for path in sorted((ROOT / floor).rglob("*.py"))]


def shown() -> Iterator[tuple[str, str]]:
    """Find command lines and where they are: in backquotes everywhere, and in code blocks of documents."""
    for path in (*_PLACES, *_CODE):
        text = path.read_text()
        lines = re.findall(r"`(sitecrew [a-z][^`\n{}]*)`", text)
        if path.suffix == ".md":
            lines += re.findall(r"^(?:\$ )?(sitecrew [a-z][^\n#|<>&]*)", text, re.MULTILINE)
        yield from ((path.name, line.strip()) for line in lines)


LINES = sorted(set(shown()))


def test_there_are_many() -> None:
    assert len(LINES) > 50


@pytest.mark.parametrize(("place", "line"), LINES, ids=[f"{place}: {line}"[:90] for place, line in LINES])
def test_a_line_that_is_shown_names_a_command_and_its_options(place: str, line: str) -> None:
    words = shlex.split(line.rstrip("\\ ").replace("...", ""))[1:]
    while words and words[0].startswith("--"):  # --config PATH
        words = words[1 if words[0] in ("--help", "--version") else 2 :]
    if not words:
        return
    noun, *rest = words
    assert noun in NOUNS, place
    commands = [load(noun)]
    while verbs := getattr(commands[0], "commands", None):  # `api staff add`
        verb, *rest = rest or [""]
        if not verb or verb.startswith("--"):
            rest = [verb, *rest]
            break
        named = [name for name in verb.split("|") if name]  # `store migrate|copy`
        assert set(named) <= set(verbs), place
        commands = [verbs[name] for name in named]
    known = {option for command in commands for param in command.params for option in param.opts} | {"--help", "-h"}
    options = {word.partition("=")[0].rstrip(",.;:)") for word in rest if word.startswith("-") and word != "-"}
    assert options <= known, place
