"""One command that tells whether all is well, and if not, what mends it; and the nouns that show settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.config.queues import INSTALLER_COMMANDS
from sitecrew.cli.output import terminal
from sitecrew.cli.run import COMMANDED
from tests.support.cli import Ran, settings_file
from tests.support.cli import sitecrew as run
from tests.support.house import House, at_work
from tests.support.troubles import trouble_of_every_kind

Command = Callable[..., Ran]


def test_all_that_needs_somebody_is_told_with_the_command_that_mends_it(house: House, sitecrew: Command) -> None:
    trouble_of_every_kind(house)
    ran = sitecrew("status", "--timeout", "0")
    assert ran.exit_code == 0
    for line in (
        "1 account, server_root_missing (local): sitecrew order retry order-1",
        "2 installs, disk_full (local): sitecrew install retry --cause disk_full --server local",
        "1 email, recipient_refused: sitecrew mail resend order-4-g1",
        "1 parked message, not_json: sitecrew parked list --code not_json",
    ):
        assert f"  {line}\n" in ran.stdout
    assert "3 created, 1 failed" in ran.stdout
    told = sitecrew("status", "--timeout", "0", "--json").json
    assert [(need["kind"], need["number"]) for need in told["needs"]] == [
        ("account", 1),
        ("install", 2),
        ("email", 1),
        ("parked message", 1),
    ]
    assert told["installs"]["failed"] == 2


def test_on_a_terminal_no_word_of_a_command_or_a_remedy_is_broken(
    house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble_of_every_kind(house)
    monkeypatch.setattr(terminal, "on_terminal", lambda: True)
    monkeypatch.setattr(terminal, "width", lambda: 50)
    ran = sitecrew("status", "--timeout", "0")
    assert max(map(len, ran.lines)) <= 50
    assert "disk_full (local): sitecrew install retry --cause disk_full --server local" in " ".join(ran.stdout.split())


def test_a_service_that_does_not_answer_needs_somebody(sitecrew: Command) -> None:
    ran = sitecrew("status", "--timeout", "0.01")
    assert "  1 service, mailer: sitecrew run mailer\n" in ran.stdout
    assert "nothing needs somebody" not in ran.stderr
    needed = sitecrew("status", "--timeout", "0.01", "--json").json["needs"]
    assert [need["command"] for need in needed] == [f"sitecrew run {name}" for name in COMMANDED]


def test_the_commands_that_it_names_mend_the_group(house: House, sitecrew: Command) -> None:
    trouble_of_every_kind(house)
    for need in sitecrew("status", "--timeout", "0", "--json").json["needs"][:3]:
        sitecrew(*need["command"].split()[1:], *(["--timeout", "0"] if need["kind"] != "account" else []))
        house.settle()
    house.tick()
    left = sitecrew("status", "--timeout", "0", "--json").json["needs"]
    assert [need["kind"] for need in left] == ["parked message"]


def test_the_services_say_themselves_that_they_run_and_when_the_next_batch_is(house: House, sitecrew: Command) -> None:
    with at_work(house):
        told = sitecrew("status", "--timeout", "20", "--json").json
    assert {name for name, service in told["services"].items() if service} == {"order-intake", "installer", "mailer"}
    assert told["services"]["installer"]["max_attempts"] == 6
    assert sitecrew("status", "--timeout", "0").stdout.count("does not answer") == 3


def test_asking_services_that_do_not_run_does_not_fill_their_queues(house: House, sitecrew: Command) -> None:
    for _ in range(60):
        sitecrew("status", "--timeout", "0", "--json")
    assert (house.broker.depth(INSTALLER_COMMANDS) or 0) <= 51


def test_all_is_well_is_said(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    assert "nothing needs attention" in sitecrew("status", "--timeout", "0").stderr


def test_without_a_broker_the_rest_is_shown_and_the_exit_code_is_3(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.order(1)
    house.settle()
    monkeypatch.undo()
    config = settings_file(tmp_path, order_intake__store_url=f"sqlite:///{house.directory}/order_intake.db")
    ran = run("--config", config, "status")
    assert ran.exit_code == 3
    assert "1 created" in ran.stdout
    assert "unknown: the broker is unreachable" in ran.stdout
    assert ran.stderr.count("warning: there is no database") == 2


# Sites, servers, timer


@pytest.fixture
def config(tmp_path: Path) -> str:
    return settings_file(
        tmp_path,
        sites__static__stage=False,
        servers__web1__address="203.0.113.9",
        servers__web1__databases__password="canary",
        default_server="web1",
        timer__every="0 3 * * *",
    )


def test_sites_and_servers_are_shown_without_secrets(config: str) -> None:
    listed = run("--config", config, "site", "list").lines
    assert [line.split()[0] for line in listed] == ["TYPE", "wordpress", "static"]
    assert "at once" in listed[2]
    assert run("--config", config, "site", "show", "static", "--json").json["stage"] is False
    servers = run("--config", config, "server", "list").lines
    assert servers[1].split()[:4] == ["web1", "yes", "local", "203.0.113.9"]
    shown = run("--config", config, "server", "show", "web1")
    assert "servers.web1.databases.password" in shown.stdout
    assert "canary" not in shown.stdout + run("--config", config, "server", "list", "--json").stdout


@pytest.mark.parametrize(
    ("line", "meant"), [(("site", "show", "wordpres"), "wordpress"), (("server", "show", "wed1"), "web1")]
)
def test_a_slip_in_a_name_is_answered_with_the_nearest(config: str, line: tuple[str, ...], meant: str) -> None:
    ran = run("--config", config, *line)
    assert (ran.exit_code, f"did you mean {meant}?" in ran.stderr) == (5, True)


def test_the_timer_shows_its_next_ticks_and_says_whose_they_are(config: str, house: House) -> None:
    ran = run("--config", config, "timer", "show", "--ticks", "2", "--timeout", "0", "--json")
    assert ran.json["ticks"] == ["2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z"]
    assert ran.json["installer"] is None
    with at_work(house):
        running = run("--config", config, "timer", "show", "--timeout", "20", "--json").json
    assert running["every"] == "*/5 * * * *", "that of the installer, not of the settings here"
    assert running["installer"]


def test_the_timer_is_paused_and_resumed(house: House, sitecrew: Callable[..., Ran]) -> None:
    with at_work(house):
        paused = sitecrew("timer", "pause", "--reason", "moving a server", "--timeout", "60")
        shown = sitecrew("timer", "show", "--timeout", "60")
        status = sitecrew("status", "--timeout", "60", "--json").json
        resumed = sitecrew("timer", "resume", "--timeout", "60", "--json").json
        after = sitecrew("timer", "show", "--timeout", "60", "--json").json
    assert paused.lines == ["timer  paused  since 2026-01-01T12:00:00Z (now): moving a server"]
    assert "paused since" in shown.stdout
    assert status["paused_since"] == "2026-01-01T12:00:00Z"
    assert [answer["outcome"] for answer in resumed] == ["resumed"]
    assert after["paused_since"] is None


def test_a_server_is_paused_for_a_while_listed_and_resumed(house: House, sitecrew: Callable[..., Ran]) -> None:
    with at_work(house):
        paused = sitecrew("server", "pause", "local", "--for", "2h", "--reason", "a new disk", "--timeout", "60")
        listed = sitecrew("server", "list")
        status = sitecrew("server", "list", "--json").json["local"]["status"]
        resumed = sitecrew("server", "resume", "local", "--timeout", "60").lines
        unknown = sitecrew("server", "resume", "elsewhere", "--timeout", "60")
    assert paused.lines == ["local  paused  since 2026-01-01T12:00:00Z (now): a new disk"]
    assert "since 2026-01-01T12:00:00Z (now); until 2026-01-01T14:00:00Z (in 2h); a new disk" in listed.stdout
    assert (status["state"], status["until"]) == ("paused", "2026-01-01T14:00:00Z")
    assert resumed == ["local  resumed  installs begin there again"]
    assert (unknown.exit_code, "none of the servers local" in unknown.stderr) == (5, True)
    assert sitecrew("server", "pause", "local", "--for", "soon").exit_code == 2
    both = sitecrew("server", "pause", "local", "--for", "2h", "--until", "2026-01-02T00:00:00Z")
    assert both.exit_code == 2


def test_a_site_type_is_switched_in_every_service_and_the_list_says_so(
    house: House, sitecrew: Callable[..., Ran]
) -> None:
    with at_work(house):
        told = sitecrew("site", "set", "wordpress", "--stage", "off", "--timeout", "60")
    assert told.exit_code == 0
    assert [line.split() for line in told.lines[1:]] == [
        [name, "at", "once,", "by", "staff", "yes"] for name in ("order-intake", "installer", "mailer")
    ]
    assert "at once, by staff" in sitecrew("site", "list").lines[1]
    listed = sitecrew("site", "list", "--json").json
    assert (listed["wordpress"]["stage"], listed["wordpress"]["overrides"]) == (False, ["stage"])
    assert listed["static"]["overrides"] == []


def test_a_site_type_that_is_unknown_or_unchanged_or_unanswered_is_not_switched(
    house: House, sitecrew: Callable[..., Ran]
) -> None:
    with at_work(house):
        unknown = sitecrew("site", "set", "joomla", "--stage", "off", "--timeout", "60")
    assert (unknown.exit_code, "see `sitecrew site list`" in unknown.stderr) == (5, True)
    assert sitecrew("site", "set", "wordpress").exit_code == 2
    silent = sitecrew("site", "set", "wordpress", "--stage", "on", "--timeout", "0")
    assert (silent.exit_code, "no answer from order-intake and installer and mailer" in silent.stderr) == (1, True)
