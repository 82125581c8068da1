"""The commands that need no service: keys, letter, config, topology show."""

import os
import re
import stat
import tomllib
from base64 import b64decode
from email import message_from_string
from pathlib import Path

import pytest

from foundation.config.keys import Opener, Sealer
from foundation.config.settings import PREFIX, known, load
from foundation.config.shown import flat
from sitecrew.cli import config
from tests.support.cli import settings_file, sitecrew

CANARY = "canary-do-not-sing"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file and no variable of the machine's own."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


# keys


def test_the_private_key_goes_to_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    ran = sitecrew("keys", "generate", "--private-file", "mailer.key", "--public-file", "mailer.pub")
    private, public = (tmp_path / "mailer.key").read_text().strip(), (tmp_path / "mailer.pub").read_text().strip()
    assert (ran.exit_code, ran.stdout) == (0, f"{public}\n")
    assert private not in ran.stdout + ran.stderr
    assert stat.S_IMODE((tmp_path / "mailer.key").stat().st_mode) == 0o600
    assert Opener(private).open(Sealer(public).seal("secret")) == "secret"


def test_no_key_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mailer.key").write_text("kept")
    ran = sitecrew("keys", "generate", "--private-file", "mailer.key", "--public-file", "mailer.pub")
    assert (ran.exit_code, ran.stdout) == (6, "")
    assert (tmp_path / "mailer.key").read_text() == "kept"
    assert not (tmp_path / "mailer.pub").exists()


def test_a_key_in_a_place_that_cannot_be_written_is_an_error_without_traceback() -> None:
    ran = sitecrew("keys", "generate", "--private-file", "no/such/place.key")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr == "error: no/such/place.key: No such file or directory\n"


def test_without_files_both_keys_are_settings_on_stdout_and_a_warning_is_beside_them(tmp_path: Path) -> None:
    ran = sitecrew("keys", "generate")
    keys = tomllib.loads(ran.stdout)["keys"]
    assert ran.stderr.startswith("warning: ")
    (tmp_path / "sitecrew.toml").write_text(ran.stdout)
    assert load().keys.private.get_secret_value() == keys["private"]
    assert len(b64decode(keys["public"])) == 32


def test_keys_as_json() -> None:
    assert set(sitecrew("keys", "generate", "--json").json) == {"public", "private"}
    named = sitecrew("keys", "generate", "--private-file", "a.key", "--json").json
    assert named["private_file"] == "a.key"
    assert "private" not in named


def test_a_public_file_alone_is_wrong_usage(tmp_path: Path) -> None:
    assert sitecrew("keys", "generate", "--public-file", "mailer.pub").exit_code == 2
    assert list(tmp_path.iterdir()) == []


# letter


def test_the_letter_is_shown_with_the_configured_sender_and_brand(tmp_path: Path) -> None:
    config = settings_file(tmp_path, mailer__sender="Ours <us@ours.example>", mailer__brand="Ours & Co")
    text = sitecrew("--config", config, "mail", "preview")
    assert text.stdout.startswith("Subject: ")
    assert "Ours & Co" in text.stdout
    html = sitecrew("--config", config, "mail", "preview", "--html").stdout
    assert "Ours &amp; Co" in html
    message = message_from_string(sitecrew("--config", config, "mail", "preview", "--eml").stdout)
    assert message["From"] == '"Ours" <us@ours.example>'


def test_the_letter_as_json_has_all_its_parts() -> None:
    assert set(sitecrew("mail", "preview", "--json").json) == {"from", "to", "subject", "text", "html"}


def test_the_letter_shows_what_the_type_of_site_has(tmp_path: Path) -> None:
    config = settings_file(tmp_path, sites__wordpress__display_control_panel_login=False)
    assert "panel.host.example" not in sitecrew("--config", config, "mail", "preview").stdout
    with_panel = sitecrew("mail", "preview", "--site-type", "static").stdout
    assert "panel.host.example" in with_panel
    assert "wp-login" not in with_panel


def test_the_letter_of_an_unknown_type_of_site_is_not_found() -> None:
    ran = sitecrew("mail", "preview", "--site-type", "whmcs")
    assert (ran.exit_code, ran.stdout) == (5, "")
    assert "wordpress, static" in ran.stderr


def test_two_forms_of_the_letter_at_once_are_wrong_usage() -> None:
    assert sitecrew("mail", "preview", "--html", "--eml").exit_code == 2


def test_a_broken_template_is_named(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "welcome.txt.j2").write_text("{{ nobody }}")
    config = settings_file(tmp_path, mailer__templates=str(tmp_path / "templates"))
    ran = sitecrew("--config", config, "mail", "preview")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "welcome.txt.j2, line 1" in ran.stderr
    assert "what to do: " in ran.stderr


# config


def secret_settings(directory: Path) -> str:
    return settings_file(
        directory,
        amqp_url=f"amqp://user:{CANARY}@127.0.0.1:1/",
        keys__private=CANARY,
        mailer__store_url=f"postgresql://user:{CANARY}@127.0.0.1:1/mailer",
        installer__store_url=f"postgresql://user:{CANARY}@127.0.0.1:1/installer",
        mailer__smtp__host="127.0.0.1",
        mailer__smtp__port=1,
        mailer__smtp__username="user",
        mailer__smtp__password=CANARY,
        servers__local__databases__port=1,
        servers__local__databases__password=CANARY,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "show", "--defaults"),
        ("doctor",),
        ("doctor", "--json"),
        ("topology", "show", "--json"),
        ("topology", "check"),
        ("mail", "preview", "--eml"),
        ("install", "list"),
        ("parked", "list"),
        ("order", "cancel", "1"),
    ],
)
def test_no_secret_of_the_settings_is_ever_shown(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = sitecrew("--config", secret_settings(tmp_path), *arguments)
    assert CANARY not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_secret_setting_that_is_wrong_is_not_repeated(tmp_path: Path) -> None:
    ran = sitecrew("--config", settings_file(tmp_path, amqp_url=[CANARY], keys__private=[CANARY]), "doctor")
    assert ran.exit_code == 2
    assert "amqp_url" in ran.stdout
    assert CANARY not in ran.stdout + ran.stderr


def test_every_setting_is_shown_with_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = settings_file(tmp_path, timer__every="*/2 * * * *", sites__archive__stage=False)
    secret = tmp_path / "password"
    secret.write_text(CANARY)
    monkeypatch.setenv("SITECREW_MAILER__BRAND", "Ours")
    monkeypatch.setenv("SITECREW_MAILER__SMTP__PASSWORD_FILE", str(secret))
    shown = sitecrew("--config", path, "config", "show", "--json").json
    assert shown["timer.every"] == {"value": "*/2 * * * *", "from": path}
    assert shown["sites.archive.stage"] == {"value": False, "from": path}
    assert shown["mailer.brand"] == {"value": "Ours", "from": "SITECREW_MAILER__BRAND"}
    assert shown["mailer.smtp.password"] == {"value": "[redacted]", "from": "SITECREW_MAILER__SMTP__PASSWORD_FILE"}
    assert shown["amqp_url"] == {"value": "[redacted]", "from": path}
    assert shown["log.level"] == {"value": "info", "from": "default"}
    rows = [line.split() for line in sitecrew("--config", path, "config", "show").lines]
    assert ["timer.every", "*/2", "*", "*", "*", "*", "sitecrew.toml"] in rows
    assert ["mailer.brand", "Ours", "environment"] in rows


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_terminal_no_word_of_a_setting_is_broken(width: int) -> None:
    key, sentence = "KrW" * 15, "Your hosting team <welcome@hosting.example>, day and night, " * 2
    rows = [
        ("keys.public", key, "sitecrew.toml"),
        ("mailer.sender", sentence.strip(), "environment"),
        ("sites.*.wordpress_display_control_panel_login", "true", "default"),
    ]
    shown = list(config.for_people(rows, width))
    assert " ".join(" ".join(shown).split()) == " ".join(
        f"{name} {value}" + ("" if origin == "default" else f" ({origin})") for name, value, origin in rows
    )
    assert all(len(line) <= width or len(line.split()) == 1 for line in shown)


def test_a_file_of_a_database_is_no_secret() -> None:
    assert sitecrew("config", "show", "--json").json["mailer.store_url"]["value"] == "sqlite:///var/mailer.db"


def test_the_skeleton_has_every_setting_and_changes_none(tmp_path: Path) -> None:
    skeleton = sitecrew("config", "show", "--defaults").stdout
    named = [line.removeprefix("# ").partition(" = ")[0] for line in skeleton.splitlines() if " = " in line]
    assert sorted(named) == sorted(path.rpartition(".")[2] for path in known())
    (tmp_path / "sitecrew.toml").write_text(skeleton)
    assert load(tmp_path / "sitecrew.toml") == load()


def test_what_is_commented_out_in_the_skeleton_are_the_defaults(tmp_path: Path) -> None:
    # What begins with a table that is commented out is an example of something that there is none of by default.
    tables = re.split(r"^(?=(?:# )?\[)", config.skeleton(), flags=re.MULTILINE)
    lines = "".join(table for table in tables if not table.startswith("# [")).splitlines()
    settings = [line.removeprefix("# ") if " = " in line and "# not set" not in line else line for line in lines]
    path = tmp_path / "all.toml"
    path.write_text("\n".join(settings))
    shown, wanted = dict(flat(load(path), "")), dict(flat(load(), ""))
    del wanted["servers.local.databases"]  # the skeleton shows what one has
    assert {name: value for name, value in shown.items() if ".databases." not in name} == wanted


# topology


def test_the_topology_is_shown_without_a_broker(tmp_path: Path) -> None:
    config = settings_file(tmp_path, delay__levels=3, delay__unit_ms=500)
    shown = sitecrew("--config", config, "topology", "show", "--json").json
    queues = {queue["name"]: queue["arguments"] for queue in shown["queues"]}
    assert queues["delay.2"]["x-message-ttl"] == 2000
    assert "delay.3" not in queues
    lines = sitecrew("--config", config, "topology", "show").lines
    assert ["installer.due", "20", "deliveries", "to", "dead-letters"] in [line.split() for line in lines]
