"""Files with secrets that everybody on the machine can read are found."""

from pathlib import Path

import pytest

from foundation.config.secret_files import exposed
from foundation.config.settings import load


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A settings file with a password, a private key, a public one, and a key for TLS; each open to everybody."""
    files = {name: tmp_path / name for name in ("sitecrew.toml", "mailer.key", "mailer.pub", "tls.key")}
    settings = f'amqp_url = "amqps://sitecrew:password@rabbit.example/"\namqp_tls.key = "{files["tls.key"]}"\n'
    for name, file in files.items():
        file.write_text(settings if name == "sitecrew.toml" else name)
        file.chmod(0o644)
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", str(files["mailer.key"]))
    monkeypatch.setenv("SITECREW_KEYS__PUBLIC_FILE", str(files["mailer.pub"]))
    return files


def found(written: dict[str, Path]) -> set[str]:
    place = written["sitecrew.toml"]
    return {file.name for file in exposed(load(place), place)}


def test_a_file_with_a_secret_is_nobody_elses(written: dict[str, Path]) -> None:
    assert found(written) == {"sitecrew.toml", "mailer.key", "tls.key"}
    for name in ("mailer.key", "tls.key"):
        written[name].chmod(0o600)
    written["sitecrew.toml"].chmod(0o640)  # a group of its own may read it
    assert found(written) == set()


def test_a_settings_file_without_a_secret_may_be_read(written: dict[str, Path]) -> None:
    for name in ("mailer.key", "tls.key"):
        written[name].chmod(0o600)
    written["sitecrew.toml"].write_text('timer.every = "* * * * *"\n')
    assert found(written) == set()
