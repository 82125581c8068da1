"""The examples in docstrings show what the code does."""

import doctest
from importlib import import_module

import pytest

from tests.rules.test_house_rules import modules, name_of

WITH_EXAMPLES = [name_of(path) for path in modules() if ">>> " in path.read_text()]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_what_a_docstring_shows_is_what_happens(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module))
    assert (failed, tried > 0) == (0, True)
