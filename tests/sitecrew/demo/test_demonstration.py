"""How the demonstration ends, and what of the log a person sees."""

import json
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from rich.console import Console

from foundation.errors import Refused
from foundation.telemetry import logs
from sitecrew.demo import demonstration
from sitecrew.demo.show import DemoOrder, Show
from sitecrew.stack.claim import claimed

REPORT: dict[str, Any] = {
    "site_url": "http://127.0.0.1:1/~bakery/",
    "login_url": "http://127.0.0.1:1/~bakery/wp-login.php",
    "letter": "var/demo/letters/1.eml",
    "console_url": "http://127.0.0.1:2",
}
STAFF = f"; the console is at {REPORT['console_url']}"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (REPORT, f"open {REPORT['login_url']}, log in with what var/demo/letters/1.eml says{STAFF}"),
        ({**REPORT, "login_url": None}, f"open {REPORT['site_url']}{STAFF}"),
        ({**REPORT, "login_url": None, "orders": [{}] * 3}, f"open {REPORT['site_url']} (and 2 more sites){STAFF}"),
    ],
)
def test_on_a_terminal_it_ends_with_what_to_open(
    report: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    demonstration._tell(report, as_json=False)
    assert capsys.readouterr().out == f"{said}\n"


def test_who_is_told_what_to_open_is_told_that_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demonstration, "interrupt_on_signals", lambda: None)
    monkeypatch.setattr(demonstration, "_clear", lambda _: None)
    monkeypatch.setattr(demonstration, "stack", lambda *_: nullcontext(SimpleNamespace(config=None)))
    monkeypatch.setattr(demonstration, "first_admin", lambda _: "a password")
    monkeypatch.setattr(demonstration, "_demonstrate", lambda *_: REPORT)
    assert demonstration.main(["--site", "static"]) == 0
    assert "with --keep it would go on answering there" in " ".join(capsys.readouterr().err.split())


def test_its_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demonstration.main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_for_programs_it_ends_with_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    demonstration._tell(REPORT, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == REPORT


@pytest.mark.parametrize(
    ("arguments", "orders"), [([], 2), (["--site", "static"], 1), (["--site", "static", "--orders", "3"], 3)]
)
def test_a_second_wordpress_is_ordered_to_show_how_fast_it_is(arguments: list[str], orders: int) -> None:
    assert demonstration._options(arguments).orders == orders


@pytest.mark.parametrize("image", [True, False])
def test_the_second_site_s_time_is_that_of_its_events(image: bool) -> None:
    console = Console(record=True, width=120)
    show = Show(console)
    if image:
        show.log_line("installer", '{"event": "image.ready", "level": "info"}')
    placed = [_installed("2026-11-27T10:00:02.94Z"), _installed("2026-11-27T10:00:00.618Z")]
    show.second(placed[:1])
    show.second(placed)
    made = " made the image" if image else ""
    assert console.export_text().strip() == f"WordPress no. 2: 0.62 s from claim to verified (no. 1{made}: 2.9 s)"


def _installed(verified_at: str) -> Any:
    order = DemoOrder.__new__(DemoOrder)
    claimed_at = "2026-11-27T10:00:00Z"
    order.reached = {"installing": datetime.fromisoformat(claimed_at), "installed": datetime.fromisoformat(verified_at)}
    order.progress = SimpleNamespace(completed=SimpleNamespace(application="WordPress"))  # type: ignore[assignment]
    return order


def test_what_the_demonstration_decides_is_not_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"ADDRESS": "domain", "WELCOME_EMAIL": "false", "SOLD": "false", "BLOG_NAME": "Ours", "STAGE": "false"}
    for name, value in given.items():
        monkeypatch.setenv(f"SITECREW_SITES__STATIC__{name}", value)
    monkeypatch.setenv("SITECREW_LOG__LEVEL", "error")
    said: list[str] = []
    show = Show.__new__(Show)
    monkeypatch.setattr(Show, "say", lambda _show, text: said.append(text))
    plan = demonstration._plan(demonstration._options(["--site", "static"]), show)
    assert plan.settings == {
        "timer.every": "*/3 * * * * *",
        "sites.static.settle_seconds": 2,
        "log.level": "debug",
        "sites.static.blog_name": "Ours",
        "sites.static.stage": "false",
    }
    assert "SITECREW_SITES__STATIC__ADDRESS" in said[-1]
    assert "SITECREW_LOG__LEVEL" in said[-1]


def test_a_demonstration_that_runs_is_not_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with claimed(tmp_path / "lock"), pytest.raises(Refused):
        demonstration._clear(tmp_path)
    assert (tmp_path / "kept").exists()
    demonstration._clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_person_sees_the_time_of_the_day_and_nothing_that_is_the_same_on_every_line() -> None:
    fields = {
        "event": "install.completed",
        "level": "info",
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "service": "installer",
        "version": "0.1.0",
        "trace_id": "4bf92f",
        "queue": "installer.due",
        "order_id": "1042",
    }
    shown = logs.for_people(orjson.dumps(fields).decode())
    for word in ("install.completed", "installer", "1042"):
        assert word in shown
    for noise in ("678901", "0.1.0", "4bf92f", "installer.due", "2026-01-02"):
        assert noise not in shown


@pytest.mark.parametrize("line", ["BOOT FAILED", "[1]", "{", "", '{"timestamp": "soon", "event": "x"}'])
def test_a_line_that_is_none_of_ours_is_shown_as_it_is(line: str) -> None:
    assert logs.for_people(line) == line
