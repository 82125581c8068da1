"""What an install has been through, and what comes next, as its row and its events tell it."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.accounts import AccountFailed
from schemas.installs import InstallCancel, InstallFailed, InstallRetry, InstallStaged, InstallStarted
from schemas.services import ServiceDescribe, ServiceDescribed
from schemas.values import CauseKind
from services.installer.states import MailState, State
from services.installer.upcoming import attempts, what_next
from tests.support.house import TRACE, House, failure


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path, installer={"max_attempts": 3})
    made.order()
    made.settle()
    return made


def use_up_all_attempts(house: House) -> None:
    house.installer.failures += [failure("db_down")] * 3
    house.advance_until(lambda: house.is_in(State.FAILED))


def test_a_failed_install_says_that_it_waits_for_staff_and_what_they_do(house: House) -> None:
    use_up_all_attempts(house)
    [failed] = [event.data for event in house.events() if isinstance(event.data, InstallFailed)]
    assert (failed.attempt, failed.max_attempts) == (3, 3)
    assert failed.next is not None
    assert failed.next.startswith("all 3 attempts failed; ")
    assert "`sitecrew install retry order-1-g1`" in failed.next
    assert what_next(house.install()) == failed.next


@pytest.mark.parametrize(
    ("state", "letter", "upcoming"),
    [
        (State.INSTALLING, MailState.WAITING, "it is being installed, attempt 1 of 3"),
        (State.INSTALLED, MailState.WAITING, "the letter goes out automatically"),
        (State.INSTALLED, MailState.FAILED, "the letter waits for staff; once the cause is fixed: "),
        (State.INSTALLED, MailState.SENT, ""),
        (State.INSTALLED, MailState.OFF, ""),
    ],
)
def test_nothing_is_said_to_be_done_before_the_letter_is_out(
    house: House, state: State, letter: MailState, upcoming: str
) -> None:
    told = what_next(replace(house.install(), state=state, mail_state=letter, max_attempts=3))
    assert told.startswith(upcoming)
    assert bool(told) == bool(upcoming)


def test_what_fails_for_good_at_once_has_used_up_nothing(house: House) -> None:
    house.installer.failures.append(failure("php_missing", CauseKind.CONFIGURATION))
    house.advance_until(lambda: house.is_in(State.FAILED))
    assert what_next(house.install()).startswith("not retried automatically")


def test_the_limit_travels_with_every_event_and_is_the_installers_own(house: House) -> None:
    house.installer.failures.append(failure("db_down"))
    house.tick()
    house.advance_until(lambda: house.is_in(State.INSTALLED))
    told = [event.data for event in house.events() if event.source == "/sitecrew/installer"]
    limited = [data for data in told if isinstance(data, InstallStaged | InstallStarted)]
    assert [data.attempt for data in limited] == [1, 2, 2]
    assert {data.max_attempts for data in limited} == {3}


def test_a_cause_worth_fewer_attempts_says_how_many_it_was_given(house: House) -> None:
    house.installer.failures += [failure("verify_failed")] * 2
    house.advance_until(lambda: house.is_in(State.FAILED))
    assert attempts(house.install()) == "2 of 2"


def test_earlier_causes_are_kept_and_staffs_retry_keeps_the_total(house: House) -> None:
    house.installer.failures += [failure("db_down"), failure("timeout"), failure("db_down")]
    house.advance_until(lambda: house.is_in(State.FAILED))
    house.publish(InstallRetry(install_id="order-1-g1"), authtype="user", authid="maria")
    house.settle()
    staged = house.install()
    assert attempts(staged) == "1 of 3 (3 before)"
    told = [(entry.what, entry.cause.code if entry.cause else entry.by) for entry in staged.history.entries]
    assert told == [
        ("attempt failed", "db_down"),
        ("attempt failed", "timeout"),
        ("failed", "db_down"),
        ("retried", "maria"),
    ]
    house.advance_until(lambda: house.is_in(State.INSTALLED))
    assert house.install().history.entries[-1].what == "installed"


def test_a_retry_of_what_waits_counts_only_the_attempts_that_were_made(house: House) -> None:
    house.publish(InstallRetry(install_id="order-1-g1"))
    house.settle()
    assert house.install().attempts_before == 0
    house.installer.failures.append(failure("db_down"))
    house.tick()
    house.publish(InstallRetry(install_id="order-1-g1"))
    house.settle()
    assert (house.install().current_attempt, house.install().attempts_before) == (1, 1)


def test_who_cancelled_and_why_stays_with_the_install(house: House) -> None:
    cancel = InstallCancel(install_id="order-1-g1", reason="customer changed his mind")
    house.publish(cancel, authtype="user", authid="maria")
    house.settle()
    cancelled = house.install()
    assert cancelled.reason == "customer changed his mind"
    assert [(entry.what, entry.by) for entry in cancelled.history.entries] == [("cancelled", "maria")]
    assert "`sitecrew order reinstall order-1`" in what_next(cancelled)


def test_a_row_keeps_the_latest_of_a_long_history(house: House) -> None:
    for _ in range(40):
        house.publish(InstallRetry(install_id="order-1-g1"))
        house.settle()
    assert len(house.install().history.entries) == 30


def test_when_an_install_begins_is_what_the_installer_says_not_who_looks(house: House) -> None:
    due_at = house.install().due_at
    assert house.install().begins_at == house.settings.timer.first_tick(due_at)


def test_installer_and_mailer_say_what_they_are_when_they_are_asked(house: House) -> None:
    house.events()
    asked = house.publish(ServiceDescribe(), authtype="user", authid="maria", traceparent=TRACE)
    house.settle()
    answers = {e.data.service: e for e in house.events() if isinstance(e.data, ServiceDescribed)}
    assert {"installer", "mailer"} <= set(answers)
    installer = answers["installer"]
    assert (installer.data.max_attempts, installer.data.timer) == (3, "*/5 * * * *")
    assert set(installer.data.site_types) == {"wordpress", "static"}
    assert (installer.trace_id, installer.authid) == (asked.trace_id, "maria")


def test_a_failed_account_says_what_staff_do_once_it_is_mended(house: House) -> None:
    house.server.failures.append(failure("server_root_missing", CauseKind.CONFIGURATION))
    house.order(2)
    house.settle()
    failed, _ = [event.data for event in house.events() if isinstance(event.data, AccountFailed)]
    assert failed.next == ("not retried automatically; once the cause is fixed: `sitecrew order retry order-2`")
