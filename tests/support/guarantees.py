"""Read the table of docs/guarantees.md."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "guarantees.md"


@dataclass(frozen=True)
class Test:
    """A test as the table links it."""

    __test__ = False

    file: str
    name: str
    kind: str
    """How it causes the failure: `real` or `simulated`."""

    @property
    def node(self) -> str:
        """Its id for pytest."""
        found = functions(self.file).get(self.name)
        return f"{self.file}::{found[0] if found else self.name}"


@dataclass(frozen=True)
class Guarantee:
    """A row of the table."""

    number: int
    failure: str
    promise: str
    mechanism: str
    tests: tuple[Test, ...]

    @property
    def modules(self) -> list[str]:
        """The files that its mechanism names."""
        return re.findall(r"`([\w/]+\.py)`", self.mechanism)


@cache
def functions(file: str) -> Mapping[str, tuple[str, ast.FunctionDef]]:
    """Return a file's functions by name, each with its id within the file."""
    return {node.name: (id, node) for id, node in _functions(ast.parse((ROOT / file).read_text()))}


def _functions(within: ast.Module | ast.ClassDef, path: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in within.body:
        if isinstance(node, ast.FunctionDef):
            yield f"{path}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{path}{node.name}::")


def guarantees() -> list[Guarantee]:
    """Return all rows, in the order of the document."""
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return [
        Guarantee(int(number), failure, promise, mechanism, tuple(_tests(tests)))
        for number, failure, promise, mechanism, tests in rows
    ]


def _tests(cell: str) -> list[Test]:
    found = []
    for part in cell.split("<br>"):
        kind, _, links = part.partition(": ")
        for words, file in re.findall(r"\[([^]]+)\]\(\.\./([^)]+)\)", links):
            found.append(Test(file, f"test_{words.replace(' ', '_')}", kind))
    return found
