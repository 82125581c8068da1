"""Changing the mailer's key pair by the command, and the settings that it leads to."""

from pathlib import Path

import pytest

from foundation.config.keys import Sealer, generate_keys, public_of
from foundation.config.settings import load
from services.mailer.service import opener_of
from tests.support.cli import sitecrew


def rotated(directory: Path) -> str:
    ran = sitecrew(
        *("keys", "rotate", "--private-file", str(directory / "mailer.key")),
        *("--previous-file", str(directory / "previous.keys")),
    )
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout.strip()


def test_a_pair_is_changed_and_everything_sealed_before_still_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, private = generate_keys()
    (tmp_path / "mailer.key").write_text(private)
    second = rotated(tmp_path)
    third = rotated(tmp_path)
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", str(tmp_path / "mailer.key"))
    monkeypatch.setenv("SITECREW_KEYS__PREVIOUS_FILE", str(tmp_path / "previous.keys"))
    for public in (first, second, third):
        monkeypatch.setenv("SITECREW_KEYS__PUBLIC", public)
        assert opener_of(load().keys).open(Sealer(public).seal("secret")) == "secret"
    assert [public_of(key) for key in (tmp_path / "previous.keys").read_text().split()] == [second, first]
    for file in ("mailer.key", "previous.keys"):
        assert (tmp_path / file).stat().st_mode & 0o077 == 0


def test_earlier_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITECREW_KEYS__PREVIOUS", ",".join(keys := [generate_keys()[1], generate_keys()[1]]))
    for shown in (sitecrew("config", "show"), sitecrew("config", "show", "--json")):
        assert shown.exit_code == 0
        assert not any(key in shown.stdout for key in keys)
        assert "[redacted]" in shown.stdout


@pytest.mark.parametrize("content", [None, "nonsense\n", ""])
def test_a_file_without_a_key_is_left_as_it_is(tmp_path: Path, content: str | None) -> None:
    key = tmp_path / "mailer.key"
    if content is not None:
        key.write_text(content)
    ran = sitecrew("keys", "rotate", "--private-file", str(key), "--previous-file", str(tmp_path / "old"))
    assert ran.exit_code != 0
    assert not (tmp_path / "old").exists()
    assert (key.read_text() if content is not None else None) == content
