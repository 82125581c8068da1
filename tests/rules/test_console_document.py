"""What docs/console.md shows and promises: pictures of the console, and the test that does each thing in a browser."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "console.md"
FOLDER = ROOT / "docs" / "images" / "console"
LARGEST = 150_000
"""Bytes of a picture: a page with all of them opens quickly."""


def test_each_point_of_a_staging_modules_screen_names_a_test_in_a_browser() -> None:
    section = PAGE.read_text().partition("## From a staging module")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "console").glob("test_*.py"))
    assert len(rows) == 7
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row[-1])
        assert named, row
        assert [name for name in named if f"def {name}(" not in tests] == []


def test_each_picture_is_small_and_shown_with_words_for_who_cannot_see_it() -> None:
    shown = {
        name: words for words, name in re.findall(r"!\[([^\]]*)\]\(images/console/([\w-]+\.png)\)", PAGE.read_text())
    }
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(shown) == set(files)
    assert [name for name, words in shown.items() if len(words.split()) < 5] == []
    assert [name for name, size in files.items() if size > LARGEST] == []
