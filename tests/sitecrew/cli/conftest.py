"""A house of all three services, and the command with settings that lead to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.installer.sites.verification import visitor
from sitecrew.cli.client import session
from tests.support.cli import Ran, settings_file
from tests.support.cli import sitecrew as run
from tests.support.house import House


@pytest.fixture(autouse=True)
def _no_web_server_is_reloading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor that finds no web server need not wait for it."""
    monkeypatch.setattr(visitor, "_PATIENCE", 0.0)


@pytest.fixture
def installer() -> dict[str, Any]:
    """The installer's settings, where they matter."""
    return {}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installer: dict[str, Any]) -> Iterator[House]:
    made = House(tmp_path, installer=installer)
    monkeypatch.setattr(session, "now", made.clock.now)
    with made.behind_commands(monkeypatch, session):
        yield made


@pytest.fixture
def sitecrew(house: House, tmp_path: Path, installer: dict[str, Any]) -> Callable[..., Ran]:
    """Runs a command line with the house's settings."""
    urls = {
        f"{name}__store_url": f"sqlite:///{house.directory / name}.db"
        for name in ("order_intake", "installer", "mailer")
    }
    config = settings_file(tmp_path, **urls, **{f"installer__{name}": value for name, value in installer.items()})
    return lambda *arguments, **more: run("--config", config, *arguments, **more)
