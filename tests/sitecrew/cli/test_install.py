"""The screen of pending and failed installs, over the services' own stores and handlers."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from schemas.values import CauseKind
from services.installer.states import State
from sitecrew.cli.client import sending
from sitecrew.cli.output import terminal
from tests.support.cli import Ran
from tests.support.house import House, at_work, failure

Command = Callable[..., Ran]


@pytest.fixture
def installer() -> dict[str, Any]:
    return {"max_attempts": 1}


def failed(house: House, number: int = 1, kind: CauseKind = CauseKind.CAPACITY) -> None:
    """An order whose install has failed."""
    house.order(number)
    house.settle()
    house.installer.failures.append(failure("disk_full", kind))
    house.tick()
    assert house.install(f"order-{number}-g1").state == State.FAILED


def test_pending_and_failed_are_shown_with_cause_and_remedy_in_the_row(house: House, sitecrew: Command) -> None:
    failed(house, 1)
    house.order(2)
    house.order(3)
    house.advance(60)
    ran = sitecrew("install", "list")
    header, *rows = ran.lines
    assert ran.exit_code == 0
    columns = ["INSTALL", "DOMAIN", "TYPE", "STATE", "TRY", "WHEN", "EMAIL", "CUSTOMER", "CAUSE", "REMEDY"]
    assert header.split() == columns
    assert [row.split()[0] for row in rows] == ["order-1-g1", "order-2-g1", "order-3-g1"]
    assert "failed" in rows[0]
    assert rows[0].endswith("disk_full: disk_full on purpose  nothing, this is a test")
    assert rows[1].split()[1:5] == ["shop2.example", "wordpress", "staged", "1"]
    assert "Jo Miller <jo2@customer.example>, account shop2" in rows[1]
    assert "1 x disk_full (local): sitecrew install retry --cause disk_full --server local" in ran.stderr
    assert "2 staged, 1 failed; next batch in 4m" in ran.stderr


def test_what_is_done_is_not_in_the_way(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    house.tick()
    ran = sitecrew("install", "list")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert "no install is staged or waiting or installing or failed" in ran.stderr
    (row,) = sitecrew("install", "list", "--state", "installed").lines[1:]
    assert row.split()[3:8] == ["installed", "1", "of", "1", "now"]
    assert len(sitecrew("install", "list", "--state", "all").lines) == 2


def test_the_list_as_json_has_exact_times_and_no_secret(house: House, sitecrew: Command) -> None:
    failed(house)
    house.order(2)
    house.settle()
    house.tick()
    second, first = sitecrew("install", "list", "--state", "all", "--json").json
    assert first["install_id"] == "order-1-g1"
    assert first["cause"]["code"] == "disk_full"
    assert first["mail"] == {"state": None, "cause": None}
    assert first["due_at"] == "2026-01-01T12:00:00Z"
    assert second["mail"] == {"state": "sent", "cause": None}
    assert second["login"] == {"url": second["url"] + "wp-login.php", "username": "admin"}
    assert "sealed" not in str([first, second])


def test_a_failed_letter_shows_in_its_installs_row(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    house.smtp.failures.append(failure("smtp_refused", CauseKind.PERMANENT))
    house.tick()
    (row,) = sitecrew("install", "list", "--state", "installed").lines[1:]
    assert "  failed  " in row
    assert "smtp_refused: smtp_refused on purpose" in row
    assert "order-1-g1" in sitecrew("install", "list").stdout, "somebody has to see to it"
    assert "email's remedy" in sitecrew("install", "show", "order-1").stdout


def test_the_list_can_be_narrowed(house: House, sitecrew: Command) -> None:
    failed(house, 1)
    for number in (2, 3, 4):
        house.order(number)
    house.settle()

    def listed(*options: str) -> list[str]:
        return [row["order_id"] for row in sitecrew("install", "list", "--json", *options).json]

    assert listed("--state", "failed") == ["order-1"]
    assert listed("--state", "pending") == ["order-2", "order-3", "order-4"]
    assert listed("--order", "order-3") == ["order-3"]
    assert listed("--limit", "2") == ["order-1", "order-2"]
    assert listed("--state", "cancelled") == []
    wrong = sitecrew("install", "list", "--state", "broken")
    assert (wrong.exit_code, "pending, all, staged" in wrong.stderr) == (2, True)


def test_what_is_over_is_listed_with_the_newest_first(house: House, sitecrew: Command) -> None:
    for number in (1, 2):
        house.order(number)
        house.settle()
        house.tick()
        house.advance(60)
    rows = sitecrew("install", "list", "--state", "all", "--limit", "1", "--json").json
    assert [row["order_id"] for row in rows] == ["order-2"]


def test_one_install_is_shown_whole_by_its_id_or_as_its_orders_latest(house: House, sitecrew: Command) -> None:
    failed(house)
    shown = sitecrew("install", "show", "order-1-g1")
    for piece in ("failed, now", "1 of 1", "disk_full (capacity): ", "jo1@customer.example", "203.0.113.7"):
        assert piece in shown.stdout
    assert sitecrew("install", "show", "order-1").stdout == shown.stdout
    assert sitecrew("install", "show", "order-1", "--json").json["generation"] == 1
    missing = sitecrew("install", "show", "order-9")
    assert (missing.exit_code, missing.stdout) == (5, "")


def test_a_customers_title_cannot_steer_the_terminal(house: House, sitecrew: Command) -> None:
    house.order(1, blog_name="Caf\u00e9 \u202egnp.exe")
    house.settle()
    shown = sitecrew("install", "show", "order-1").stdout
    assert "Café \\u202egnp.exe" in shown


def test_the_next_attempt_is_the_first_tick_once_it_is_due(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    assert sitecrew("install", "show", "order-1", "--json").json["next_attempt_at"] == "2026-01-01T12:00:00Z"
    later = house.install().due_at + timedelta(seconds=1)
    assert house.settings.timer.first_tick(later) == house.install().due_at + timedelta(minutes=5)


def test_cancel_waits_for_the_installers_answer(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    with at_work(house):
        ran = sitecrew("install", "cancel", "order-1-g1", "--reason", "by mistake")
    assert (ran.exit_code, ran.stdout) == (0, "order-1-g1  cancelled  by mistake\n")
    assert house.install().state == State.CANCELLED


def test_a_refused_command_is_exit_code_6_with_the_reason(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    house.tick()
    with at_work(house):
        ran = sitecrew("install", "cancel", "order-1-g1")
        unknown = sitecrew("install", "retry", "order-9-g1", "--json")
    assert (ran.exit_code, unknown.exit_code) == (6, 5)
    assert ran.stdout == "", "the error says it all"
    assert "it is installed. What to do: to install the site again, use" in ran.stderr
    (answer,) = unknown.json
    assert (answer["outcome"], answer["cause"]["code"]) == ("refused", "no_such_install")


def test_retry_stages_one_or_all_that_failed(house: House, sitecrew: Command) -> None:
    for number in (1, 2, 3):
        failed(house, number)
    with at_work(house):
        one = sitecrew("install", "retry", "order-1")
        others = sitecrew("install", "retry", "--all-failed", "--json")
    assert (one.exit_code, one.stdout) == (0, "order-1-g1  staged  due now\n")
    assert [answer["install_id"] for answer in others.json] == ["order-2-g1", "order-3-g1"]
    assert {answer["outcome"] for answer in others.json} == {"staged"}
    assert house.install("order-3-g1").state == State.STAGED


def test_if_nothing_has_failed_there_is_nothing_to_retry(house: House, sitecrew: Command) -> None:
    ran = sitecrew("install", "retry", "--all-failed", "--json")
    assert (ran.exit_code, ran.json) == (0, [])
    assert house.event_types() == []


def test_without_an_answer_the_command_says_what_to_check(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    ran = sitecrew("install", "cancel", "order-1-g1", "--timeout", "0")
    assert ran.exit_code == 1
    assert ran.stdout == "order-1-g1  unanswered  no answer yet\n"
    assert "sitecrew run installer" in ran.stderr
    house.settle()
    assert house.install().state == State.CANCELLED


@pytest.mark.parametrize("arguments", [("retry",), ("retry", "1-g1", "--all-failed"), ("cancel",), ("retry", "-g1")])
def test_commands_about_nothing_or_everything_are_wrong_usage(sitecrew: Command, arguments: tuple[str, ...]) -> None:
    ran = sitecrew("install", *arguments)
    assert (ran.exit_code, ran.stdout) == (2, "")


def test_run_now_starts_a_batch(house: House, sitecrew: Command) -> None:
    ran = sitecrew("install", "run-now")
    house.settle()
    assert (ran.exit_code, ran.stdout, house.is_called_to_tick) == (0, "", True)


def test_watching_shows_events_as_they_come(house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = sending_until(monkeypatch, "sitecrew.mail.sent.v1")

    def live() -> None:
        house.order(1)
        house.order(2, site_type="whmcs")
        house.settle()
        house.tick()

    monkeypatch.setattr(terminal, "note", lambda _: live())
    ran = sitecrew("install", "watch")
    assert ran.exit_code == 0
    told = [line.split()[1:4] for line in ran.lines]
    for line in (
        ["account", "created", "order-1"],
        ["order", "rejected", "order-2"],
        ["install", "staged", "order-1-g1"],
        ["install", "completed", "order-1-g1"],
        ["mail", "sent", "order-1-g1"],
    ):
        assert line in told
    assert heard


def test_watching_as_json_gives_an_event_a_line_without_what_is_sealed(
    house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending_until(monkeypatch, "sitecrew.mail.sent.v1")

    def live() -> None:
        house.order(1)
        house.settle()
        house.tick()

    monkeypatch.setattr(terminal, "note", lambda _: live())
    events = [json.loads(line) for line in sitecrew("install", "watch", "--json").lines]
    (completed,) = [event for event in events if event["type"] == "sitecrew.install.completed.v1"]
    assert completed["data"]["login"]["sealed_password"] == "[redacted]"
    assert completed["data"]["account"]["control_panel"]["sealed_password"] == "[redacted]"


def sending_until(monkeypatch: pytest.MonkeyPatch, last: str) -> list[Any]:
    """Press Ctrl-C after an event of this type."""
    heard: list[Any] = []
    listen = sending.incoming

    def interrupted(watching: Any, ends: float, **more: Any) -> Iterator[Any]:
        for event in listen(watching, ends, **more):
            heard.append(event)
            yield event
            if event.type == last:
                raise KeyboardInterrupt

    monkeypatch.setattr(sending, "incoming", interrupted)
    return heard


def test_watching_says_in_words_that_the_broker_is_away_and_back(
    house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([[], ["watch"], ["watch"], [], []])

    def disconnected() -> list[str]:
        try:
            return next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(house.broker, "disconnected", disconnected)
    monkeypatch.setattr(sending, "_GLANCE", 0)
    ran = sitecrew("install", "watch")
    assert ran.exit_code == 0
    assert ran.stderr.count("lost the connection to the broker") == 1
    assert ran.stderr.count("events in between were missed") == 1


def test_watching_tells_of_a_connection_that_was_back_before_anybody_looked(
    house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(4))

    def disconnected() -> list[str]:
        if next(looks, None) is None:
            raise KeyboardInterrupt
        house.broker.reconnections = 1
        return []

    monkeypatch.setattr(house.broker, "disconnected", disconnected)
    monkeypatch.setattr(sending, "_GLANCE", 0)
    assert sitecrew("install", "watch").stderr.count("events in between were missed") == 1


def test_a_resolved_install_needs_nobody_and_is_shown_only_on_request(house: House, sitecrew: Command) -> None:
    failed(house)
    with at_work(house):
        ran = sitecrew("install", "resolve", "order-1", "--note", "installed it by hand", "--timeout", "60")
    assert (ran.exit_code, ran.lines) == (0, ["order-1-g1  resolved  installed it by hand"])
    assert sitecrew("install", "list").lines == []
    assert "resolved" in sitecrew("install", "list", "--state", "resolved").lines[1]
    assert "nothing needs attention" in sitecrew("status", "--timeout", "0").stderr
    with at_work(house):
        again = sitecrew("install", "resolve", "order-1-g1", "--note", "again", "--timeout", "60")
    assert (again.exit_code, "it is resolved" in again.stderr) == (6, True)
