"""The generated pages are up to date."""

import ast

from schemas.logs import EVENTS
from tests.support.reference import ROOT, log_calls, pages, tables


def test_the_pages_are_as_the_code_says() -> None:
    differing = [path.name for path, text in pages().items() if path.read_text() != text]
    assert differing == [], "run script/reference, and commit what it writes"


def test_every_line_of_the_log_is_explained_and_every_explanation_is_of_a_line() -> None:
    written = {ast.literal_eval(call.args[0]) for call in log_calls()}
    assert set(EVENTS) - {"library.said", "log.lines_dropped"} == written, "schemas/logs.py explains each"


def test_a_code_is_of_one_kind_whoever_has_it() -> None:
    kinds: dict[str, set[str]] = {}
    for _, table in tables():
        for code in table.own:
            kinds.setdefault(code, set()).add(table[code].kind)
    assert {code for code, several in kinds.items() if len(several) > 1} == set()


def test_no_cause_is_made_beside_the_tables() -> None:
    beside = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for floor in ("foundation", "services")
        for path in sorted((ROOT / floor).rglob("*.py"))
        if path.name not in ("causes.py", "errors.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Cause", "Failed.because")
    ]
    assert beside == [], "causes come from a table, so that docs/causes.md knows them"
