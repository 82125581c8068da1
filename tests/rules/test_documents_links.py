"""Everything that documents refer to exists: linked files and headings, and named files and modules."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
FOLDERS = "schemas|foundation|services|sitecrew|tests|script|deploy|examples|docs"


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return a page's anchors, as GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def found(pattern: str) -> list[Any]:
    """Find a pattern in all pages; return each match with its page."""
    return [
        pytest.param(page, target, id=f"{page.relative_to(ROOT)}: {target}")
        for page in PAGES
        for target in sorted(set(re.findall(pattern, prose(page))))
    ]


@pytest.mark.parametrize(("page", "target"), found(r"\]\((?!\w+://)([^)\s]+)\)"))
def test_a_link_leads_to_a_file_and_a_heading(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists()
    assert not anchor or anchor in anchors(file)


@pytest.mark.parametrize(("page", "target"), found(rf"`((?:{FOLDERS})/[\w./-]+)`"))
def test_a_file_that_is_named_exists(page: Path, target: str) -> None:
    assert (ROOT / target).exists(), page


@pytest.mark.parametrize(("page", "target"), found(r"`((?:schemas|foundation|services)\.[\w.]+[A-Za-z])\b"))
def test_code_that_is_named_exists(page: Path, target: str) -> None:
    module, _, name = target.rpartition(".")
    assert hasattr(importlib.import_module(module), name) or importlib.import_module(target), page
