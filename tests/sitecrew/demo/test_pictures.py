"""The browser in which the demonstration looks at the console."""

import os
import shutil
from pathlib import Path

import pytest

from foundation.errors import ConfigurationError, SitecrewError
from sitecrew.demo import demonstration, pictures
from sitecrew.stack.ports import free_port


@pytest.fixture
def _browser() -> None:
    try:
        pictures.require_browser()
    except ConfigurationError as error:
        pytest.fail(str(error)) if "CI" in os.environ else pytest.skip(str(error))


def test_without_a_browser_the_demonstration_says_so_before_it_starts_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(demonstration, "_ROOT", tmp_path)
    monkeypatch.setattr(demonstration, "interrupt_on_signals", lambda: None)
    assert demonstration.main(["--screenshot", "--site", "static"]) == ConfigurationError.exit_code
    assert "there is no browser for pictures: run script/bootstrap browser" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_browser")
def test_what_does_not_appear_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        pytest.raises(SitecrewError, match=r"the browser does not see what it should: .*ERR_CONNECTION_REFUSED"),
        pictures.camera(url, tmp_path / "pictures") as window,
    ):
        window.sign_in("admin", "no password")
    assert list((tmp_path / "pictures").iterdir()) == []
