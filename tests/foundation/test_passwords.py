"""Passwords that are made up."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.passwords import LETTERS, generated


def test_every_password_holds_each_class_of_letters_twice() -> None:
    for _ in range(500):
        made = generated()
        for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_"):
            assert sum(letter in letters for letter in made) >= 2, made
        assert (len(made), made[0].isalnum()) == (24, True)
        assert set(made) <= set(LETTERS)


@given(st.integers(8, 64), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40))
def test_whatever_letters_are_allowed_only_those_are_used(length: int, letters: str) -> None:
    made = generated(length, letters)
    assert len(made) == length
    assert set(made) <= set(letters)


@pytest.mark.parametrize("letters", [string.digits, string.ascii_letters + string.digits, "!", "ab"])
def test_a_class_that_is_not_allowed_is_not_waited_for(letters: str) -> None:
    assert set(generated(20, letters)) <= set(letters)
