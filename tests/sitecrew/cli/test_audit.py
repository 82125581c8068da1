"""`sitecrew audit`: what it prints, and its exit codes."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from foundation.service.process import broker_of
from sitecrew.cli.client import session
from tests.support.cli import Ran
from tests.support.house import House

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(autouse=True)
def _two_orders(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sitecrew.audit.auditing.sleep", lambda _seconds: None)
    house.order(1)
    house.order(2)
    house.settle()
    house.tick()


def lose_letters(house: House) -> None:
    house.unfinished = "its letters are lost on purpose"
    with house.mailer.store.transaction() as connection:
        connection.execute(text("DELETE FROM mails"))


def test_nothing_is_wrong(sitecrew: Callable[..., Ran]) -> None:
    ran = sitecrew("audit")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr.splitlines() == [
        "the broker's policies and replicas were not checked; that needs amqp_management_url",
        "audit: 2 orders, 2 installs, 2 mails checked: nothing wrong",
    ]


def test_each_violation_is_a_block_with_what_to_do(house: House, sitecrew: Callable[..., Ran]) -> None:
    lose_letters(house)
    ran = sitecrew("audit", "--limit", "1")
    assert ran.exit_code == 1
    first, *rest = ran.lines
    assert first.startswith("letter_missing (2): The site is installed, but the mailer has no letter for it")
    assert rest[0] == "  order-1-g1: the installer has heard of it: sent"
    assert "`sitecrew order reinstall order-1`" in rest[1]
    assert rest[2:] == ["  and 1 more", ""]
    assert ran.stderr.endswith("audit: 2 orders, 2 installs, 0 mails checked: 2 violations\n")


def test_programs_get_the_same_as_json(house: House, sitecrew: Callable[..., Ran]) -> None:
    lose_letters(house)
    ran = sitecrew("audit", "--json")
    assert ran.exit_code == 1
    assert ran.json["checked"] == {"orders": 2, "installs": 2, "mails": 0}
    assert ran.json["counts"] == {"letter_missing": 2}
    assert [(one["code"], one["subject"]) for one in ran.json["violations"]] == [
        ("letter_missing", "order-1-g1"),
        ("letter_missing", "order-2-g1"),
    ]
    assert ran.json["not_checked"] == []


def test_what_could_not_be_read_is_said_and_never_called_fine(house: House, sitecrew: Callable[..., Ran]) -> None:
    house.unfinished = "a database is gone"
    (house.directory / "mailer.db").rename(house.directory / "elsewhere.db")
    ran = sitecrew("audit")
    assert ran.exit_code == 4
    assert "warning: could not check the services' databases: there is no database" in ran.stderr
    assert ran.stderr.endswith("checked: nothing wrong as far as it could be checked\n")


def test_a_broker_that_does_not_answer_is_said_and_the_databases_are_checked_all_the_same(
    sitecrew: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "broker_of", broker_of)
    ran = sitecrew("audit", "--json")
    assert ran.exit_code == 3
    (unchecked,) = ran.json["not_checked"]
    assert unchecked["what"] == "the broker"
    assert ran.json["checked"]["orders"] == 2
