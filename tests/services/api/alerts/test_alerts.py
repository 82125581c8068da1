"""Staff are told once of what begins or grows, and once that it is over."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.alerts import AlertRaised, AlertRecovered
from schemas.installs import InstallRetry
from schemas.services import ServerStatus, ServiceHeartbeat, ServiceReplay
from schemas.values import CauseKind
from services.api.access.identity import Scope
from services.api.projection import rebuilding
from tests.support.api import HouseWithApi
from tests.support.house import START, failure

STAFF = "staff@hosting.example"


@pytest.fixture
def house(tmp_path: Path) -> HouseWithApi:
    return HouseWithApi(tmp_path, alerts={"to": [STAFF], "every_minutes": 15})


def look(house: HouseWithApi, minutes: float = 0) -> None:
    house.advance(60 * minutes)
    house.api.look_for_alerts()
    house.settle()


def told(house: HouseWithApi) -> list[tuple[str, str]]:
    events = [event for event in house.events() if isinstance(event.data, AlertRaised | AlertRecovered)]
    return [("raised" if isinstance(it.data, AlertRaised) else "recovered", it.data.headline) for it in events]


def mails(house: HouseWithApi) -> list[Any]:
    return [mail for mail in house.smtp.sent if mail["To"] == STAFF]


def fail(house: HouseWithApi, *numbers: int) -> None:
    """Have the installs of these orders fail for good."""
    for number in numbers:
        house.installer.failures.append(failure("db_down", CauseKind.PERMANENT))
        house.order(number)
    house.advance_until(lambda: all(house.install(f"order-{number}-g1").state == "failed" for number in numbers))


def retry(house: HouseWithApi, *numbers: int) -> None:
    for number in numbers:
        house.publish(InstallRetry(install_id=f"order-{number}-g1"))
    house.settle()


def test_a_failure_is_told_once_and_its_end_once(house: HouseWithApi) -> None:
    fail(house, 1, 2)
    look(house)
    (mail,) = mails(house)
    assert mail["Subject"] == "Sitecrew: 2 installs on local failed: db_down"
    text = mail.get_content()
    assert "What to do: nothing, this is a test" in text
    assert "Command: sitecrew install retry --cause db_down --server local" in text
    for _ in range(4):
        look(house, minutes=20)
    assert len(mails(house)) == 1, "nothing is repeated while it lasts"

    retry(house, 1, 2)
    look(house)
    look(house)
    assert mails(house)[1]["Subject"] == "Sitecrew: recovered: 2 installs on local failed: db_down"
    assert len(mails(house)) == 2
    assert told(house) == [
        ("raised", "2 installs on local failed: db_down"),
        ("recovered", "2 installs on local failed: db_down"),
    ]


def test_what_is_raised_and_what_recovered_lately_is_listed(house: HouseWithApi) -> None:
    operator = house.caller("/desk", Scope.INSTALLS_WRITE)

    def listed() -> list[Any]:
        told: list[Any] = operator.get("/v1/alerts").json()["items"]
        return told

    assert listed() == []
    fail(house, 1)
    look(house)
    (raised,) = listed()
    assert (raised["state"], raised["headline"]) == ("raised", "1 install on local failed: db_down")
    assert (raised["remedy"], raised["command"]) == ("nothing, this is a test", "sitecrew install retry order-1-g1")
    assert raised["told_at"]
    assert raised["since"] <= raised["told_at"]
    retry(house, 1)
    look(house)
    (over,) = listed()
    assert (over["state"], over["since"]) == ("recovered", raised["since"])
    look(house, minutes=20)
    assert [one["recovered_at"] for one in listed()] == [over["recovered_at"]], "not when an email told of it"
    look(house, minutes=24 * 60)
    assert listed() == []


def test_there_is_one_email_at_most_in_so_many_minutes(house: HouseWithApi) -> None:
    fail(house, 1)
    look(house)
    fail(house, 2, 3)
    look(house)
    assert len(mails(house)) == 1
    look(house, minutes=15)
    assert mails(house)[1]["Subject"] == "Sitecrew: 3 installs on local failed: db_down"
    assert len(told(house)) == 1, "what grows raises no second alert"


def test_what_was_over_before_anybody_was_told_is_told_to_nobody(house: HouseWithApi) -> None:
    fail(house, 1)
    look(house)
    house.smtp.sent.clear()
    house.installer.failures.append(failure("disk_full", CauseKind.PERMANENT))
    house.order(2)
    house.settle()
    house.tick()
    look(house)
    retry(house, 2)
    look(house, minutes=15)
    assert mails(house) == []
    assert told(house)[1:] == [
        ("raised", "1 install on local failed: disk_full"),
        ("recovered", "1 install on local failed: disk_full"),
    ]


def test_what_comes_back_at_once_was_never_away_for_whoever_reads_emails(house: HouseWithApi) -> None:
    fail(house, 1)
    look(house)
    retry(house, 1)
    look(house)
    house.installer.failures.append(failure("db_down", CauseKind.PERMANENT))
    house.tick()
    look(house)
    look(house, minutes=20)
    assert len(mails(house)) == 1
    assert [kind for kind, _ in told(house)] == ["raised", "recovered", "raised"]


def test_a_message_that_stays_parked_needs_somebody(house: HouseWithApi) -> None:
    house.order(1, site_type="unknown")
    house.settle()
    look(house, minutes=14)
    assert mails(house) == []
    look(house, minutes=2)
    (mail,) = mails(house)
    assert mail["Subject"] == "Sitecrew: 1 parked message from intake.orders waits: invalid_order"
    assert "sitecrew parked list --code invalid_order" in mail.get_content()


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_batch_that_does_not_begin_is_missed_unless_the_timer_is_paused(house: HouseWithApi, is_paused: bool) -> None:
    timer = house.settings.timer
    tick = START + timedelta(minutes=5)
    paused = START if is_paused else None
    beat = {"service": "installer", "instance": "web1/1", "version": "1", "started_at": START}
    house.publish(ServiceHeartbeat(**beat, next_tick=tick, paused_since=paused))
    house.settle()
    allowed = 5 + (timer.budget_seconds + timer.jitter_seconds) / 60 + 1
    look(house, minutes=allowed)
    assert told(house) == []
    look(house, minutes=1)
    missed = ("raised", "No batch of installs has run since the tick of 2026-01-01 12:05 UTC")
    assert told(house) == ([] if is_paused else [missed])
    house.publish(ServiceHeartbeat(**beat, next_tick=house.clock.now() + timedelta(minutes=5)))
    house.settle()
    look(house)
    assert [kind for kind, _ in told(house)] == ([] if is_paused else ["recovered"])


def test_a_server_that_fails_again_and_again_is_told_of_until_it_does_not(house: HouseWithApi) -> None:
    beat = {"service": "installer", "instance": "web1/1", "version": "1", "started_at": START}

    def stands(state: str) -> None:
        status = ServerStatus(name="local", state=state, since=START, cause=failure("db_down").cause)
        house.publish(ServiceHeartbeat(**beat, servers=(status,)))
        house.settle()
        look(house, minutes=1)

    stands("paused")
    assert told(house) == []
    for state in ("open", "half-open", "open", "closed"):
        stands(state)
    headline = "No installs begin on local, which fails again and again: db_down"
    assert told(house) == [("raised", headline), ("recovered", headline)]
    assert [mail["Subject"] for mail in mails(house)] == [f"Sitecrew: {headline}"]


def test_a_mail_server_that_is_away_delays_an_alert_and_loses_none(house: HouseWithApi) -> None:
    fail(house, 1)
    house.smtp.failures = [failure("smtp_unreachable")] * 3
    look(house)
    assert mails(house) == []
    house.advance_until(lambda: bool(mails(house)))
    assert len(mails(house)) == 1


def test_an_alert_that_could_not_be_sent_for_a_day_is_given_up(house: HouseWithApi) -> None:
    fail(house, 1)
    house.smtp.failures = [failure("smtp_unreachable")] * 1000
    look(house)
    for _ in range(30):
        house.advance(3600)
    house.smtp.failures = []
    for _ in range(5):
        house.advance(3600)
    assert mails(house) == []


def test_without_an_address_nobody_gets_an_email(tmp_path: Path) -> None:
    house = HouseWithApi(tmp_path)
    fail(house, 1)
    look(house)
    assert mails(house) == []
    assert told(house) == [("raised", "1 install on local failed: db_down")]


def test_nothing_is_told_while_the_projection_is_rebuilt(house: HouseWithApi) -> None:
    fail(house, 1)
    look(house)
    assert len(mails(house)) == len(told(house)) == 1
    for last in (False, True):
        with house.api.desk.store.transaction() as connection:
            rebuilding.forget(connection, house.clock.now())
        look(house, minutes=30)
        assert told(house) == [], "what the projection has forgotten is not over"
        if not last:
            house.publish(ServiceReplay())
            house.settle()
            look(house)
            assert told(house) == [], "and it is not new when the installer tells of it again"
    look(house, minutes=31)
    assert [kind for kind, _ in told(house)] == ["recovered"], "an unfinished rebuild is not waited for without end"
    house.publish(ServiceReplay())
    house.settle()
    look(house)
    assert [kind for kind, _ in told(house)] == ["raised"]


def test_two_replicas_tell_it_once(house: HouseWithApi) -> None:
    fail(house, 1)
    house.api.look_for_alerts()
    house.api.look_for_alerts()
    house.settle()
    assert len(mails(house)) == len(told(house)) == 1
