"""All names in log lines are part of the contract, so that log collectors can rely on them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.logs import LogLine

ROOT = Path(__file__).parents[2]


def calls() -> Iterator[tuple[str, ast.Call]]:
    for floor in ("foundation", "services"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _is_of_the_log(node.func):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _is_of_the_log(called: ast.expr) -> bool:
    while isinstance(called, ast.Attribute):
        called = called.value
    return isinstance(called, ast.Name) and called.id == "_log"


@pytest.mark.parametrize(("place", "call"), [pytest.param(*found, id=found[0]) for found in calls()])
def test_a_line_has_a_stable_name_and_known_fields(place: str, call: ast.Call) -> None:
    (event,) = call.args
    assert isinstance(event, ast.Constant), f"{place}: use a constant event name, and put what varies into a field"
    line = {"timestamp": "2026-01-01T00:00:00Z", "level": "info", "service": "x", "version": "1"}
    LogLine.model_validate({**line, "event": event.value})
    unknown = {keyword.arg for keyword in call.keywords if keyword.arg} - set(LogLine.model_fields)
    assert unknown == set(), f"{place}: add it to schemas/logs.py"
