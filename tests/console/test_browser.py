"""The console in a real browser, with real services behind it. `script/bootstrap browser` brings what it needs."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.api.console import asks
from tests.console.stage import at_work, furnish, served
from tests.services.api.console.conftest import PASSWORD

HERE = Path(__file__).parent
PAGES = (
    "/",
    "/installs",
    "/installs/order-1001-g1",
    "/orders",
    "/orders/order-1005",
    "/letters",
    "/parked",
    "/activity",
    "/workers",
    "/settings",
    "/staff",
    "/account",
)


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium")
    if not found or not (HERE / "node_modules" / ".sitecrew-stamp").exists():
        missing = "there is no browser: run script/bootstrap browser"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def visited(script: str, **asked: Any) -> Any:
    """Run a visit, and return what it found."""
    ran = subprocess.run(
        ["node", HERE / script], input=json.dumps(asked), text=True, capture_output=True, check=False, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_every_page_is_usable_by_everybody_at_any_width_in_light_and_dark(tmp_path: Path, browser: str) -> None:
    with served(tmp_path) as (console, url):
        furnish(console)
        found = visited(
            "visit.mjs",
            browser=browser,
            url=url,
            name="eve",
            password=PASSWORD,
            pages=PAGES,
            widths=[375, 1280],
            schemes=["light", "dark"],
            pictures=os.environ.get("SITECREW_TEST_PICTURES"),
        )
    assert found == {"violations": [], "errors": [], "foreign": [], "wide": []}


def test_a_failed_install_is_retried_and_the_page_follows(
    tmp_path: Path, browser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks, "_PATIENCE", 1.5)
    with served(tmp_path) as (console, url):
        furnish(console)
        with at_work(console):
            story = visited("mend.mjs", browser=browser, url=url, name="eve", password=PASSWORD)
    assert story["outcome"].startswith("1 asked: 1 staged")
    assert story["state"] == "staged"
    assert story["log"].startswith("eve")
    assert story["errors"] == []
