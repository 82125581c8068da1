"""Remedies name commands and settings between backticks, as terminals show them; pages set them as code."""

import pytest

from services.api.console.pages import prose


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Correct `socket` or `host`, then retry.", "Correct <code>socket</code> or <code>host</code>, then retry."),
        ("`sitecrew mail resend`", "<code>sitecrew mail resend</code>"),
        ("Start the database server.", "Start the database server."),
        ("one ` alone", "one ` alone"),
        ("`a` and one ` more", "<code>a</code> and one ` more"),
        ("<b> & `<i>`", "&lt;b&gt; &amp; <code>&lt;i&gt;</code>"),
        ("", ""),
    ],
)
def test_what_is_between_backticks_is_code_and_nothing_is_markup(said: str, shown: str) -> None:
    assert str(prose(said)) == shown
