"""The contract as a page: one file, which a browser opens without a network."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "script" / "asyncapi"
DOCUMENT = ROOT / "schemas" / "export" / "asyncapi.json"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (FOLDER / "node_modules" / "@asyncapi").is_dir() or shutil.which("node") is None:
        pytest.skip("script/bootstrap docs installs what renders the page")
    path = tmp_path_factory.mktemp("page") / "asyncapi.html"
    with path.open("w") as file:
        subprocess.run(["node", str(FOLDER / "page.mjs"), str(DOCUMENT)], stdout=file, check=True)
    return path


def test_the_page_is_one_file_that_loads_nothing(page: Path) -> None:
    head, _, rest = page.read_text().partition("<style>")
    assert "<title>Sitecrew" in head
    body = re.sub(r"(?s)<script>.*?</script>", "", rest.partition("</style>")[2])
    assert not re.findall(r"(?:src|href)=", head + body)


def test_a_browser_shows_every_message_of_the_contract(page: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("script/bootstrap browser installs it")
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}"),
        *("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--virtual-time-budget=60000", "--dump-dom", page.as_uri()),
    )
    ran = subprocess.run([chromium, *options], capture_output=True, text=True, check=True, timeout=240)
    shown = unescape(re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]+>", " ", ran.stdout))
    contract = json.loads(DOCUMENT.read_text())
    names = {message["name"] for message in contract["components"]["messages"].values()}
    assert len(names) > 15
    assert [name for name in sorted(names) if name not in shown] == []
