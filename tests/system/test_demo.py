"""The demonstration as a whole, on the tests' broker: a static site, and pictures if there is a browser."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from foundation.errors import ConfigurationError
from sitecrew.demo import demonstration
from sitecrew.demo.pictures import require_browser
from sitecrew.stack.first_admin import first_admin
from tests.support.audited import require_private

_PNG = b"\x89PNG\r\n\x1a\n"
_ELSEWHERE = {
    "SITECREW_API__ADDRESS": "127.0.0.1:9",
    "SITECREW_API__STORE_URL": "sqlite:////nowhere/api.db",
    "SITECREW_API__PUBLIC_URL": "https://console.example",
    "SITECREW_API__SECRET_KEY": "the key of production",
}
"""Exported settings of production's console, which the demonstration leaves alone."""


@dataclass
class Shown:
    """What a demonstration has left behind."""

    directory: Path
    report: dict[str, Any]
    said: str
    password: str
    """Of the console's first admin."""


def has_browser() -> bool:
    try:
        require_browser()
    except ConfigurationError:
        return False
    return True


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str]) -> Shown:
    root, passwords = tmp_path_factory.mktemp("demo"), list[str]()
    out, err = root / "out", root / "err"
    arguments = ["--site", "static", "--json", *(["--screenshot"] if has_browser() else [])]

    def remembered(config: Path) -> str:
        passwords.append(first_admin(config))
        return passwords[0]

    with pytest.MonkeyPatch.context() as patch, out.open("w") as stdout, err.open("w") as stderr:
        for name in [name for name in os.environ if name.startswith("SITECREW_")]:
            patch.delenv(name)
        for name, value in {**_ELSEWHERE, "SITECREW_AMQP_URL": next(vhosts)}.items():
            patch.setenv(name, value)
        patch.setattr(demonstration, "_ROOT", root)
        patch.setattr(demonstration, "interrupt_on_signals", lambda: None)
        patch.setattr(demonstration, "first_admin", remembered)
        patch.setattr("sys.stdout", stdout)
        patch.setattr("sys.stderr", stderr)
        code = demonstration.main(arguments)
    assert code == 0, err.read_text()
    (line,) = out.read_text().splitlines()
    return Shown(root / "var" / "demo", json.loads(line), err.read_text(), passwords[0])


def test_the_console_and_the_api_show_the_order_as_done(shown: Shown) -> None:
    done = {"install": "installed", "email": "sent"}
    assert (shown.report["console"], shown.report["api"]) == (done, done)
    assert "the console shows it as installed and its email as sent" in shown.said


def test_the_console_s_address_is_told_and_is_the_stack_s_own(shown: Shown) -> None:
    (port,) = re.findall(r"^api\.address = .*:(\d+)\"$", (shown.directory / "sitecrew.toml").read_text(), re.MULTILINE)
    assert shown.report["console_url"] == f"http://127.0.0.1:{port}"
    assert port != "9"


def test_exported_settings_of_another_console_are_left_alone_and_named(shown: Shown) -> None:
    assert "ignored in the environment" in shown.said
    assert all(name in shown.said for name in _ELSEWHERE)
    assert not any(value in shown.said for value in _ELSEWHERE.values())
    assert (shown.directory / "api.db").exists()


def test_the_admin_s_password_is_kept_and_shown_nowhere(shown: Shown) -> None:
    kept = [path for path in shown.directory.rglob("*") if path.is_file()]
    assert [path for path in kept if shown.password.encode() in path.read_bytes()] == []
    assert shown.password not in shown.said
    assert shown.password not in json.dumps(shown.report)


def test_the_broker_s_url_is_told_without_its_password(shown: Shown) -> None:
    url = Path(shown.report["amqp_url_file"]).read_text()
    password = urlsplit(url).password
    assert password
    assert shown.report["amqp_url"] == url.replace(f":{password}@", ":[redacted]@")
    assert f":{password}@" not in shown.said + json.dumps(shown.report)


def test_nobody_else_on_the_machine_may_read_what_it_keeps_of_customers(shown: Shown) -> None:
    require_private(shown.directory)


@pytest.mark.skipif(not has_browser() and "CI" not in os.environ, reason="run script/bootstrap browser")
def test_pictures_are_kept_of_every_page_and_of_the_site(shown: Shown) -> None:
    pictures = [Path(path) for path in shown.report["pictures"]]
    assert [path.stem.partition("-")[2] for path in pictures] == [
        *("sign-in", "needs-you", "installs", "order", "letters", "activity", "site"),
        *("installs-on-a-phone", "order-on-a-phone"),
    ]
    assert {path.parent for path in pictures} == {shown.directory / "pictures"}
    widths = [int.from_bytes(path.read_bytes()[16:20]) for path in pictures]
    assert all(path.read_bytes().startswith(_PNG) for path in pictures)
    assert widths == [*[1280] * 7, 375, 375]
