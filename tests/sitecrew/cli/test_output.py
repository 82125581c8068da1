"""How things look: tables for people and programs, times, and the doctor's findings."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foundation.config.keys import generate_keys
from foundation.store import Store
from services.installer.service import MIGRATIONS
from sitecrew.cli import checks
from sitecrew.cli.checks.findings import Finding
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table
from tests.support.cli import settings_file, sitecrew

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG = "a-rather-long-id-0123456789-0123456789-g1"
TABLE = Table(
    ("INSTALL", "DOMAIN", "STATE"),
    [(LONG, "shop.example", "failed"), ("1-g1", "a-domain-of-many-letters.customers.example", "staged")],
    beneath=("CAUSE",),
)
TABLE = Table(TABLE.headers, [(*TABLE.rows[0], "word " * 30), (*TABLE.rows[1], "")], TABLE.beneath)


def test_for_programs_a_row_is_one_line_and_nothing_is_cut() -> None:
    header, first, second = TABLE.plain()
    assert header.split() == ["INSTALL", "DOMAIN", "STATE", "CAUSE"]
    assert first.startswith(f"{LONG}  shop.example")
    assert first.count("word") == 30
    assert second.split() == ["1-g1", "a-domain-of-many-letters.customers.example", "staged"]
    assert not set("│─┃╭") & set(header + first + second)


def test_for_people_lines_fit_the_terminal_and_nothing_is_cut() -> None:
    lines = [line.plain for line in TABLE.for_people(60)]
    assert all(len(line) <= 60 for line in lines)
    columns = "".join(line[: lines[0].index("DOMAIN")].strip() for line in lines if not line.startswith("    "))
    assert LONG in columns
    assert "    cause: word word" in "\n".join(lines)
    assert "\n".join(lines).count("word") == 30


def test_what_fits_is_not_folded() -> None:
    assert len(Table(("A", "B"), [("one", "two")]).for_people(80)) == 2


def test_letters_that_steer_a_terminal_are_shown_as_escapes() -> None:
    assert terminal.printable("a\x1b[2J\r\n\u202eb\x9b ü ツ") == "a\\x1b[2J\\r\\n\\u202eb\\x9b ü ツ"
    assert "\x1b" not in "".join(Table(("A",), [("\x1b[31m",)]).plain())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "now"),
        (45, "in 45s"),
        (119, "in 2m"),
        (-600, "10m ago"),
        (7300, "in 2h"),
        (-36 * 3600, "36h ago"),
        (80 * 3600, "in 3d"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert times.relative(NOW + timedelta(seconds=seconds), NOW) == said


def test_exact_times_are_rfc_3339_in_utc() -> None:
    assert times.both(NOW, NOW) == "2026-01-01T12:00:00Z (now)"
    assert times.both(None, NOW) == ""


# The doctor


@pytest.mark.parametrize(
    ("codes", "worst"), [((), 0), ((0, 0), 0), ((1, 0), 1), ((4, 1), 4), ((1, 4, 3), 3), ((0, 3), 3), ((3, 2), 2)]
)
def test_the_doctors_exit_code_is_that_of_the_worst_kind(codes: tuple[int, ...], worst: int) -> None:
    assert checks.worst([Finding("x", not code, "", code=code) for code in codes]) == worst


def test_settings_that_cannot_be_read_are_all_that_the_doctor_says(tmp_path: Path) -> None:
    ran = sitecrew("--config", settings_file(tmp_path, timer__every="often"), "doctor", "--json")
    (finding,) = ran.json
    assert (ran.exit_code, finding["name"], finding["ok"]) == (2, "settings", False)
    assert "timer.every" in finding["detail"]


def test_the_doctor_looks_at_everything_and_creates_nothing(tmp_path: Path) -> None:
    config = settings_file(
        tmp_path,
        order_intake__store_url=f"sqlite:///{tmp_path}/a/order_intake.db",
        installer__store_url=f"sqlite:///{tmp_path}/a/installer.db",
        mailer__store_url="postgresql://nobody@127.0.0.1:1/mailer",
        mailer__smtp__host="127.0.0.1",
        mailer__smtp__port=1,
        servers__local__root=str(tmp_path / "hosting"),
        servers__local__web_address="127.0.0.1:1",
        sites__archive__stage=True,
    )
    ran = sitecrew("--config", config, "doctor", "--json")
    found = {finding["name"]: finding for finding in ran.json}
    well = {name for name, finding in found.items() if finding["result"] == "ok"}
    skipped = {name for name, finding in found.items() if finding["result"] == "skipped"}
    assert ran.exit_code == 2, "without keys the settings are not complete"
    assert well == {"settings", "secrets", "static on local", "email"}
    assert found["alerts"]["result"] == "note", "nobody is told of trouble"
    services = {"service order-intake", "service installer", "service mailer"}
    assert skipped == {"topology", "broker policies", "broker alarms", "message size", *services}, (
        "the broker's trouble is told once"
    )
    assert found["topology"]["detail"] == "skipped: broker failed"
    assert set(found) - well - skipped == {
        "keys",
        "alerts",
        "broker",
        "store of order-intake",
        "store of installer",
        "store of mailer",
        "server local",
        "web of local",
        "wordpress on local",
        "archive on local",
        "smtp",
    }
    assert "servers.local.web_address" in found["web of local"]["remedy"]
    assert "sites.archive.recipe must be set" in found["archive on local"]["detail"]
    assert [path.name for path in tmp_path.iterdir()] == ["sitecrew.toml"]
    assert ran.stderr == "5 of 15 checks passed; 7 skipped\n"


def test_the_doctor_tells_a_store_of_another_version_from_one_of_this(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/installer.db"
    (tmp_path / "mailer.db").touch()
    store = Store(url)
    store.migrate([MIGRATIONS])
    store.close()
    config = settings_file(tmp_path, installer__store_url=url, mailer__store_url=f"sqlite:///{tmp_path}/mailer.db")
    lines = {line[8:30].strip(): line for line in sitecrew("--config", config, "doctor").lines}
    assert lines["store of installer"].startswith("ok ")
    assert "0 messages waiting to be published" in lines["store of installer"]
    assert lines["store of mailer"].startswith("FAILED")
    assert "`sitecrew run mailer` migrates it" in lines["store of mailer"]


def test_the_doctor_knows_keys_that_are_no_partners(tmp_path: Path) -> None:
    public, private = generate_keys()
    other, _ = generate_keys()

    def keys(**settings: str) -> tuple[bool, str]:
        config = settings_file(tmp_path, **{f"keys__{name}": key for name, key in settings.items()})
        (found,) = [one for one in sitecrew("--config", config, "doctor", "--json").json if one["name"] == "keys"]
        return found["ok"], found["detail"]

    assert keys(public=public, private=private) == (True, "keys.private opens what keys.public seals")
    assert keys(public=other, private=private)[0] is False
    assert keys(public=public)[0] is True
    assert keys()[0] is False
