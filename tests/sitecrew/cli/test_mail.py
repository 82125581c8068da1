"""The screen of letters, over the mailer's own store and handlers."""

from collections.abc import Callable
from typing import Any

import pytest
import typer

from schemas.orders import OrderReinstallRequested
from schemas.values import CauseKind
from sitecrew.cli import everywhere
from tests.support.cli import Ran
from tests.support.house import House, at_work, failure

Command = Callable[..., Ran]


def failed(house: House, number: int = 1) -> None:
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.order(number)
    house.settle()
    house.tick()


def test_letters_that_failed_are_shown_with_cause_and_remedy_in_the_row(house: House, sitecrew: Command) -> None:
    failed(house)
    header, row = sitecrew("mail", "list").lines
    assert header.split() == ["INSTALL", "TO", "STATE", "TRY", "RESENT", "REQUESTED", "CAUSE", "REMEDY"]
    assert row.split()[:4] == ["order-1-g1", "jo1@customer.example", "failed", "1"]
    assert "recipient_refused: " in row
    (record,) = sitecrew("mail", "list", "--json").json
    assert (record["state"], record["cause"]["code"], record["sent_at"]) == ("failed", "recipient_refused", None)


def test_nothing_that_is_sealed_is_shown(house: House, sitecrew: Command) -> None:
    failed(house)
    assert "sealed" not in sitecrew("mail", "list", "--json").stdout


def test_a_state_that_is_none_is_told(sitecrew: Command) -> None:
    ran = sitecrew("mail", "list", "--state", "lost")
    assert ran.exit_code == 2
    assert "waiting, sending, sent, failed, suppressed" in ran.stderr


def test_a_letter_is_sent_again_to_another_address(house: House, sitecrew: Command) -> None:
    failed(house)
    with at_work(house):
        ran = sitecrew("mail", "resend", "order-1", "--to", "new@customer.example")
    assert (ran.exit_code, ran.stdout) == (0, "order-1-g1  sent  to new@customer.example\n")


def test_all_that_failed_are_sent_again(house: House, sitecrew: Command) -> None:
    failed(house, 1)
    failed(house, 2)
    with at_work(house):
        ran = sitecrew("mail", "resend", "--all-failed", "--json")
    assert {answer["outcome"] for answer in ran.json} == {"sent"}
    assert len(house.smtp.sent) == 2
    assert sitecrew("mail", "resend", "--all-failed").stderr == "no email has failed\n"


def test_one_that_fails_again_says_why_and_exits_with_1(house: House, sitecrew: Command) -> None:
    failed(house)
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    with at_work(house):
        ran = sitecrew("mail", "resend", "order-1-g1")
    assert ran.exit_code == 1
    assert "failed  recipient_refused: " in ran.stdout


def test_a_letter_that_there_is_not_yet_is_not_found(house: House, sitecrew: Command) -> None:
    house.order()
    house.settle()
    ran = sitecrew("mail", "resend", "order-1")
    assert ran.exit_code == 5
    assert "sitecrew install show order-1" in ran.stderr


@pytest.mark.parametrize("arguments", [(), ("a-g1", "--all-failed"), ("--all-failed", "--to", "x@y.example")])
def test_what_is_to_be_sent_must_be_said_once(sitecrew: Command, arguments: tuple[str, ...]) -> None:
    assert sitecrew("mail", "resend", *arguments).exit_code == 2


def test_an_address_that_is_none_is_told_by_its_option(house: House, sitecrew: Command) -> None:
    failed(house)
    ran = sitecrew("mail", "resend", "order-1", "--to", "nowhere")
    assert ran.exit_code == 2
    assert "--to" in ran.stderr


def test_letters_are_narrowed_by_order_address_cause_and_time(house: House, sitecrew: Command) -> None:
    failed(house, 1)
    house.smtp.failures = [failure("smtp_auth", CauseKind.CONFIGURATION)]
    house.order(2)
    house.settle()
    house.tick()
    house.order(3)
    house.settle()
    house.tick()

    def names(*arguments: str) -> list[str]:
        return sorted(record["install_id"] for record in sitecrew("mail", "list", *arguments, "--json").json)

    assert names() == ["order-1-g1", "order-2-g1"]
    assert names("--cause", "smtp_auth") == ["order-2-g1"]
    assert names("--cause", "smtp_auth,recipient_refused") == ["order-1-g1", "order-2-g1"]
    assert names("--cause", "smtp_%") == []
    assert names("--order", "order-3") == ["order-3-g1"]
    assert names("--recipient", "JO3@customer.example") == ["order-3-g1"]
    assert names("--since", "2999-01-01") == []


def test_one_letter_is_shown_whole_and_its_secrets_never(house: House, sitecrew: Command) -> None:
    failed(house)
    shown = sitecrew("mail", "show", "order-1").stdout
    for word in (
        "order-1-g1",
        "Jo Miller <jo1@customer.example>",
        "shop1.example",
        "recipient_refused",
        "mail resend",
    ):
        assert word in shown
    assert "sealed" not in shown
    assert sitecrew("mail", "show", "order-1", "--json").json["domain"] == "shop1.example"
    assert sitecrew("mail", "show", "nobody").exit_code == 5


def test_the_letter_of_a_real_order_is_shown_with_its_passwords_masked(house: House, sitecrew: Command) -> None:
    failed(house)
    text = sitecrew("mail", "preview", "--install", "order-1").stdout
    assert "Hello Jo Miller," in text
    assert "Password: ********" in text
    assert house.installer.password not in sitecrew("mail", "preview", "--install", "order-1", "--eml").stdout
    german = sitecrew("mail", "preview", "--install", "order-1-g1", "--locale", "de-AT").stdout
    assert "Guten Tag Jo Miller," in german
    assert "Passwort: ********" in german


@pytest.mark.parametrize("arguments", [("--locale", "not a locale"), ("--install", "a", "--site-type", "static")])
def test_a_preview_that_makes_no_sense_is_wrong_usage(sitecrew: Command, arguments: tuple[str, ...]) -> None:
    assert sitecrew("mail", "preview", *arguments).exit_code == 2


def test_of_all_that_failed_what_is_outdated_is_left_alone(house: House, sitecrew: Command) -> None:
    failed(house)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.tick()
    would = sitecrew("mail", "resend", "--all-failed", "--dry-run", "--json")
    assert [record["install_id"] for record in would.json] == ["order-1-g2"]
    with at_work(house):
        ran = sitecrew("mail", "resend", "--all-failed", "--json")
    assert (ran.exit_code, [answer["install_id"] for answer in ran.json]) == (0, ["order-1-g2"])


def test_a_dry_run_sends_nothing(house: House, sitecrew: Command) -> None:
    failed(house)
    ran = sitecrew("mail", "resend", "order-1", "--to", "new@customer.example", "--dry-run")
    assert "would resend 1 email to new@customer.example; nothing was done" in ran.stderr
    house.settle()
    assert house.smtp.sent == []


def test_only_the_letters_of_one_cause_are_sent_again(house: House, sitecrew: Command) -> None:
    failed(house, 1)
    house.smtp.failures = [failure("smtp_auth", CauseKind.CONFIGURATION)]
    house.order(2)
    house.settle()
    house.tick()
    with at_work(house):
        ran = sitecrew("mail", "resend", "--cause", "smtp_auth", "--json")
    assert [answer["install_id"] for answer in ran.json] == ["order-2-g1"]


def test_whoever_is_there_is_asked_before_passwords_go_to_another_address(
    house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(house)
    asked: list[str] = []

    def refuse(question: str, **_options: Any) -> None:
        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr(everywhere, "may_ask", lambda _ctx: True)
    monkeypatch.setattr(typer, "confirm", refuse)
    ran = sitecrew("mail", "resend", "order-1", "--to", "new@customer.example")
    assert ran.exit_code != 0
    assert "Jo Miller <jo1@customer.example> for shop1.example to new@customer.example" in asked[0]
    with at_work(house):
        assert sitecrew("mail", "resend", "order-1", "--to", "new@customer.example", "--yes").exit_code == 0
    assert len(asked) == 1


def test_an_address_that_is_kept_is_the_customers_in_the_next_install_too(house: House, sitecrew: Command) -> None:
    failed(house)
    with at_work(house):
        ran = sitecrew("mail", "resend", "order-1", "--to", "new@customer.example", "--keep", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert [answer["outcome"] for answer in ran.json] == ["sent"]
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    assert [message["To"].addresses[0].addr_spec for message in house.smtp.sent] == ["new@customer.example"] * 2
