"""The screen of letters, over the mailer's own store and handlers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.values import CauseKind
from sitecrew.cli import session
from tests.cli import Ran, settings_file
from tests.cli import sitecrew as run
from tests.house import House, at_work, failure

Command = Callable[..., Ran]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with House(tmp_path).behind_commands(monkeypatch, session) as house:
        yield house


@pytest.fixture
def sitecrew(house: House, tmp_path: Path) -> Command:
    config = settings_file(tmp_path, mailer__store_url=f"sqlite:///{house.directory / 'mailer'}.db")
    return lambda *arguments: run("--config", config, *arguments)


def failed(house: House, number: int = 1) -> None:
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.order(number)
    house.settle()
    house.tick()


def test_letters_that_failed_are_shown_with_cause_and_remedy_in_the_row(house: House, sitecrew: Command) -> None:
    failed(house)
    header, row = sitecrew("letter", "list").lines
    assert header.split() == ["INSTALL", "TO", "STATE", "TRY", "SENT", "AGAIN", "CAUSE", "REMEDY"]
    assert row.split()[:4] == ["order-1-g1", "jo1@customer.example", "failed", "1"]
    assert "recipient_refused: " in row
    (record,) = sitecrew("letter", "list", "--json").json
    assert (record["state"], record["cause"]["code"], record["sent_at"]) == ("failed", "recipient_refused", None)


def test_nothing_that_is_sealed_is_shown(house: House, sitecrew: Command) -> None:
    failed(house)
    assert "sealed" not in sitecrew("letter", "list", "--json").stdout


def test_a_state_that_is_none_is_told(sitecrew: Command) -> None:
    ran = sitecrew("letter", "list", "--state", "lost")
    assert ran.exit_code == 2
    assert "waiting, sending, sent, failed, suppressed" in ran.stderr


def test_a_letter_is_sent_again_to_another_address(house: House, sitecrew: Command) -> None:
    failed(house)
    with at_work(house):
        ran = sitecrew("letter", "resend", "order-1", "--to", "new@customer.example")
    assert (ran.exit_code, ran.stdout) == (0, "order-1-g1  sent  to new@customer.example\n")


def test_all_that_failed_are_sent_again(house: House, sitecrew: Command) -> None:
    failed(house, 1)
    failed(house, 2)
    with at_work(house):
        ran = sitecrew("letter", "resend", "--all-failed", "--json")
    assert {answer["outcome"] for answer in ran.json} == {"sent"}
    assert len(house.smtp.sent) == 2
    assert sitecrew("letter", "resend", "--all-failed").stderr == "no letter has failed\n"


def test_one_that_fails_again_says_why_and_exits_with_1(house: House, sitecrew: Command) -> None:
    failed(house)
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    with at_work(house):
        ran = sitecrew("letter", "resend", "order-1-g1")
    assert ran.exit_code == 1
    assert "failed  recipient_refused: " in ran.stdout


def test_a_letter_that_there_is_not_yet_is_not_found(house: House, sitecrew: Command) -> None:
    house.order()
    house.settle()
    ran = sitecrew("letter", "resend", "order-1")
    assert ran.exit_code == 5
    assert "sitecrew installs show order-1" in ran.stderr


@pytest.mark.parametrize("arguments", [(), ("a-g1", "--all-failed"), ("--all-failed", "--to", "x@y.example")])
def test_what_is_to_be_sent_must_be_said_once(sitecrew: Command, arguments: tuple[str, ...]) -> None:
    assert sitecrew("letter", "resend", *arguments).exit_code == 2


def test_an_address_that_is_none_is_told_by_its_option(house: House, sitecrew: Command) -> None:
    failed(house)
    ran = sitecrew("letter", "resend", "order-1", "--to", "nowhere")
    assert ran.exit_code == 2
    assert "--to" in ran.stderr
