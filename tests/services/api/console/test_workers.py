"""The console's page about processes, queues and the installs of the last day."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import BrokerUnreachable
from services.api import console as package
from services.api.finding import figures
from services.api.finding.figures import Lately
from tests.services.api.console.conftest import Console
from tests.services.api.console.test_pages import failed, installed, text


def test_installs_of_the_last_day_are_drawn_and_told_in_words(console: Console) -> None:
    failed(console, 1, 2)
    installed(console, 3)
    page = console.browser("eve").get("/workers").text
    assert 'aria-label="Installs of the last 24 hours: 1 installed, 2 failed"' in page
    assert page.count("<title>") == 1 + figures.HOURS
    assert "1 installed 2 failed" in text(page)
    assert not re.search(r"style=", page)


def test_queues_show_how_many_messages_wait(console: Console) -> None:
    console.house.order(1)
    console.house.settle()
    console.house.advance(400)
    page = text(console.browser("eve").get("/workers").text)
    assert "installer.due installs that the next batch begins 1" in page
    assert "intake.orders orders to be accepted 0" in page


def test_the_oldest_pending_install_is_named(console: Console) -> None:
    eve = console.browser("eve")
    assert "none: every install has ended" in eve.get("/workers").text
    console.house.order(1)
    console.settle()
    console.house.advance(60)
    console.house.order(2)
    console.settle()
    assert "Oldest pending shop1.example staged" in text(eve.get("/workers").text)


def test_without_the_broker_the_page_says_so(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_queues: Any) -> Any:
        raise BrokerUnreachable("away")

    monkeypatch.setattr(console.house.broker, "depths", away)
    assert "The broker does not answer just now" in console.browser("eve").get("/workers").text


def test_a_figure_is_found_out_once_for_many_pages() -> None:
    asked: list[int] = []
    lately = Lately[int]()

    def find() -> int:
        asked.append(1)
        return len(asked)

    assert [lately.get(60, find) for _ in range(3)] == [1, 1, 1]
    assert lately.get(0, find) == 2


def test_htmx_is_the_file_that_its_note_says() -> None:
    static = Path(package.__file__).parent / "static"
    note = json.loads((static / "htmx.json").read_text())
    content = (static / note["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == note["sha256"]
    assert f'version:"{note["version"]}"'.encode() in content
    assert note["license"] == "0BSD"
    assert (static / "htmx.LICENSE").read_text().startswith("Zero-Clause BSD")
