"""What differs between two installs is found, and filled in anew."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.installer.sites.wordpress.image.templates import Blanks, Unfit, filled

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LATER = BEGAN + timedelta(days=40, hours=3)
ORDERED = {
    "url": "http://x1y2.sitecrew.invalid/~p3",
    "path": "/~p3/",
    "title": "title-q7",
    "username": "sitecrewimage9",
}
OTHER = {"url": "https://shop.example", "path": "/", "title": "Ann's \\ Shop", "username": "ann"}


def filled_anew(text: str) -> str:
    made = Blanks(ORDERED, BEGAN).made(text)
    return filled(made, OTHER, LATER, str)


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("Visit http://x1y2.sitecrew.invalid/~p3/wp-admin/ now", "Visit https://shop.example/wp-admin/ now"),
        ("RewriteBase /~p3/", "RewriteBase /"),
        ("title-q7", "Ann's \\ Shop"),
        ("sitecrewimage9, sitecrewimage9", "ann, ann"),
        ("2026-03-01 12:00:01", "2026-04-10 15:00:00"),
        ("2026-03-01 13:00:01", "2026-04-10 16:00:00"),  # the site's own time zone
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        ("2019-01-01 00:00:00", "2019-01-01 00:00:00"),
        (str(int(BEGAN.timestamp()) + 86401), str(int(LATER.timestamp()) + 86400)),
        ("1000000007", "1000000007"),
        (f"{BEGAN.timestamp():.6f}", f"{LATER.timestamp():.6f}"),
        (
            f'a:1:{{i:{int(BEGAN.timestamp())};a:1:{{s:4:"cron";b:1;}}}}',
            f'a:1:{{i:{int(LATER.timestamp())};a:1:{{s:4:"cron";b:1;}}}}',
        ),
        ("53496", "53496"),
        ("", ""),
    ],
)
def test_what_was_ordered_and_when_is_filled_anew(text: str, later: str) -> None:
    assert filled_anew(text) == later


def test_an_order_within_data_that_states_its_length_is_refused() -> None:
    with pytest.raises(Unfit, match="serialized"):
        Blanks(ORDERED, BEGAN).made('a:1:{s:4:"home";s:32:"http://x1y2.sitecrew.invalid/~p3";}')


def test_a_text_that_looks_like_a_blank_is_refused() -> None:
    with pytest.raises(Unfit, match="blank"):
        Blanks(ORDERED, BEGAN).made("\ue000url\ue001")


@given(st.text(st.characters(exclude_characters="\ue000\ue001", exclude_categories=["Cs"])))
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert filled_anew(text) == text or any(value in text for value in ORDERED.values()) or text.startswith(("1", "2"))


def test_values_are_quoted_and_the_text_around_them_is_not() -> None:
    made = Blanks(ORDERED, BEGAN).made("it's title-q7")
    assert filled(made, OTHER, LATER, lambda value: value.replace("'", "''").replace("\\", "\\\\")) == (
        "it's Ann''s \\\\ Shop"
    )
