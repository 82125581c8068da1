"""docs/guarantees.md is complete: each row has its number, a module that exists, tests that are run, and a patch that
shows that these would notice."""

import ast
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.mutations.mutations import Mutation, mutations
from tests.mutations.results import shown
from tests.support.guarantees import ROOT, Guarantee, Test, functions, guarantees

ROWS = guarantees()
DESIGNED_FOR = 27
"""The failures that were known before there was any code; all others were added since."""

ALL_OF_THEM = {70}
"""Rows whose mechanism is all the others'."""

each_row = pytest.mark.parametrize("row", [pytest.param(row, id=str(row.number)) for row in ROWS])


@cache
def places() -> tuple[Path, ...]:
    """Return the folders whose tests are run by script/test, without containers or with them."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    return tuple(ROOT / folder for folder in (*options["testpaths"], "tests/compose"))


def is_run(test: Test) -> bool:
    """Whether pytest collects this test, and runs it wherever it can."""
    path = ROOT / test.file
    collected = path.is_file() and path.name.startswith("test_") and any(path.is_relative_to(at) for at in places())
    if not collected or test.name not in functions(test.file):
        return False
    id, function = functions(test.file)[test.name]
    left_out = any("mark.skip(" in mark or "mark.xfail" in mark for mark in map(ast.unparse, function.decorator_list))
    return not left_out and all(part.startswith(("Test", "test_")) for part in id.split("::"))


def test_rows_are_numbered_without_gaps() -> None:
    assert sorted(row.number for row in ROWS) == list(range(1, len(ROWS) + 1))
    assert len(ROWS) > DESIGNED_FOR


def test_no_row_is_there_twice() -> None:
    failures = Counter(row.failure.lower() for row in ROWS)
    proofs = Counter((row.promise, row.mechanism, row.tests) for row in ROWS)
    assert {*failures.values(), *proofs.values()} == {1}


@each_row
def test_its_mechanism_is_in_a_module_that_exists(row: Guarantee) -> None:
    assert row.modules
    assert [module for module in row.modules if not (ROOT / module).is_file()] == []


@each_row
def test_it_has_tests_that_are_run_and_say_how_they_cause_the_failure(row: Guarantee) -> None:
    assert row.tests
    assert {test.kind for test in row.tests} <= {"real", "simulated"}
    assert [test.node for test in row.tests if not is_run(test)] == []
    assert len(set(row.tests)) == len(row.tests)


MUTATIONS = mutations()


@each_row
def test_its_mechanism_can_be_taken_out(row: Guarantee) -> None:
    """By a patch of `tests/mutations`, which shows that its tests would notice."""
    assert row.number in {mutation.row for mutation in MUTATIONS} | ALL_OF_THEM


@pytest.mark.parametrize("mutation", [pytest.param(each, id=f"{each.row} {each.name}") for each in MUTATIONS])
def test_a_patch_still_applies_and_names_a_test_of_its_row(mutation: Mutation) -> None:
    ast.parse(mutation.applied((ROOT / mutation.file).read_text()))
    assert is_run(mutation.test())


def test_the_document_shows_a_result_for_each_patch_and_each_was_noticed() -> None:
    named = [(mutation.row, mutation.name) for mutation in MUTATIONS]
    assert len(set(named)) == len(named)
    untried = "try it: python -m tests.mutations --write --only"
    assert sorted(named) == sorted(shown()), untried
    assert [about for about, (verdict, _) in shown().items() if verdict != "red"] == []
