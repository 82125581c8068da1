"""The whole story, in one process, with the clock turned by hand."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from foundation.config.keys import Opener, generate_keys
from schemas.installs import CommandRefused, InstallCancel, InstallRetry, InstallStarted, TimerRunNow
from schemas.mails import MailPreview, MailResend, MailSent, PreviewRendered
from schemas.orders import OrderCancelled, OrderReinstallRequested, OrderRejected
from schemas.values import CauseKind, Model
from services.installer.states import State
from services.mailer.letter.filling import MASK
from services.order_intake.orders import MAX_ATTEMPTS
from tests.support.house import TRACE, Gate, House, failure, kind


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def _letter(house: House, number: int = -1) -> str:
    body = house.smtp.sent[number].get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_an_order_gives_an_account_at_once_and_a_site_only_at_the_tick(house: House) -> None:
    house.order()
    house.settle()
    assert house.event_types() == ["order.accepted", "account.created", "install.staged"]
    assert [request.marker for request in house.server.accounts.values()] == ["order-1"]
    assert house.install().state == State.STAGED
    assert house.installer.installed == []

    house.tick()
    assert house.event_types() == ["install.started", "install.completed", "mail.sent"]
    assert house.install().state == State.INSTALLED
    assert house.install().mail_state == "sent"


def test_the_letter_carries_the_password_that_the_installer_made(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    assert "\nUsername: admin\nPassword: canary-password-1\n" in _letter(house)
    assert house.server.accounts.popitem()[1].password in _letter(house)


def test_no_password_is_in_any_row_or_event(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    secrets = ["canary-password-1", *(request.password for request in house.server.accounts.values())]
    kept = b"".join(path.read_bytes() for path in house.directory.iterdir())
    said = b"".join(event.model_dump_json().encode() for event in house.events())
    for secret in secrets:
        for written in (secret.encode(), b64encode(secret.encode())):
            assert written not in kept + said


def test_an_unstaged_type_is_installed_without_a_tick(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.order()
    house.settle()
    assert house.install().state == State.INSTALLED
    assert len(house.smtp.sent) == 1


def test_an_install_is_not_due_before_its_account_has_settled(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"settle_seconds": 30}})
    house.order()
    house.settle()
    house.advance(29)
    house.tick()
    assert house.install().state == State.STAGED
    house.advance(2)
    house.tick()
    assert house.install().state == State.INSTALLED


def test_an_install_that_waits_for_its_nightly_batch_is_not_taken_to_be_lost(tmp_path: Path) -> None:
    house = House(tmp_path, timer={"every": "0 3 * * *"})
    house.order()
    house.let_time_pass(15 * 6 + 1, seconds=600)  # from noon until after three
    assert house.event_types() == ["order.accepted", "account.created", "install.staged"]
    house.let_time_pass(1, seconds=3600)
    assert house.event_types() == ["install.staged"] * 2, "but now: order intake and the installer both miss it"


def test_the_same_order_three_times_is_one_account_one_install_one_letter(house: House) -> None:
    for id in ("placed-1", "placed-1", "placed-again"):
        house.order(id=id)
    house.settle()
    house.tick()
    house.order()
    house.settle()
    house.tick()
    assert house.server.calls == 1
    assert len(house.installer.installed) == 1
    assert len(house.smtp.sent) == 1
    assert house.parked() == []


def test_another_order_under_a_known_id_is_rejected_and_parked(house: House) -> None:
    house.order()
    house.settle()
    house.order(id="other", domain="else.example")
    house.settle()
    (parked,) = house.parked()
    assert parked.headers["reason-code"] == "order_conflict"
    assert "data.order_id" in str(parked.headers["reason"])
    assert house.event_types()[-1] == "order.rejected"
    assert house.server.calls == 1


def test_an_order_for_what_is_not_configured_names_the_field(house: House) -> None:
    house.order(site_type="joomla")
    house.settle()
    assert "data.site_type must be one of wordpress, static" in str(house.parked()[0].headers["reason"])


def test_a_transient_failure_is_tried_again_after_a_pause(house: House) -> None:
    house.installer.failures = [failure("db_down")]
    house.order()
    house.settle()
    house.tick()
    install = house.install()
    assert (install.state, install.current_attempt) == (State.STAGED, 2)
    assert install.cause is not None
    assert install.cause.code == "db_down"
    assert install.due_at > house.clock.now()
    house.tick()
    assert house.install().state == State.STAGED, "its pause has not passed"
    house.advance(80)
    house.tick()
    assert house.install().state == State.INSTALLED
    assert house.install().cause is None


def test_attempts_end_and_staff_can_start_them_anew(house: House) -> None:
    house.installer.failures = [failure("db_down") for _ in range(house.settings.installer.max_attempts)]
    house.order()
    house.settle()
    for _ in range(house.settings.installer.max_attempts):
        house.tick()
        house.advance(5000)
    assert house.install().state == State.FAILED
    assert house.event_types()[-1] == "install.failed"
    house.publish(InstallRetry(install_id="order-1-g1"))
    house.settle()
    house.tick()
    assert house.install().state == State.INSTALLED


def test_a_permanent_failure_is_not_tried_again(house: House) -> None:
    house.installer.failures = [failure("docroot_not_empty", CauseKind.CONFLICT)]
    house.order()
    house.settle()
    house.tick()
    install = house.install()
    assert install.state == State.FAILED
    assert install.cause is not None
    assert install.cause.remedy


def test_what_nobody_foresaw_is_a_failure_with_a_cause_too(house: House) -> None:
    house.installer.failures = [RuntimeError("secret-in-a-message")]
    house.order()
    house.settle()
    house.tick()
    cause = house.install().cause
    assert cause is not None
    assert cause.code == "unexpected"
    assert "secret-in-a-message" not in cause.model_dump_json()


def test_a_cancelled_install_never_runs(house: House) -> None:
    house.order()
    house.settle()
    house.publish(InstallCancel(install_id="order-1-g1"))
    house.settle()
    house.tick()
    assert house.install().state == State.CANCELLED
    assert house.installer.installed == []
    assert house.smtp.sent == []


def test_a_cancel_that_comes_too_late_is_refused_with_the_reason(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.events()
    command = house.publish(InstallCancel(install_id="order-1-g1"))
    house.settle()
    (refused,) = house.events()
    assert refused.data.command_id == command.id
    assert "it is installed" in refused.data.cause.detail


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        (InstallCancel(install_id="order-1-g1", reason="wrong customer"), ["install.cancelled"]),
        (OrderCancelled(order_id="order-1", reason="wrong customer"), ["order.withdrawn", "install.cancelled"]),
    ],
)
def test_a_running_install_that_is_cancelled_ends_before_its_next_step(
    tmp_path: Path, command: Model, answers: list[str]
) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.installer.meanwhile = gate = Gate()
    house.order()
    house.run_until(gate.reached.is_set)
    house.events()
    house.publish(command, traceparent=TRACE)
    house.run_until(lambda: house.install().ending)
    assert house.install().state == State.INSTALLING
    gate.opened.set()
    house.let_time_pass(2, seconds=6)
    told = [event for event in house.events() if not getattr(event.data, "domain_released", False)]
    assert [(kind(event.type), event.trace_id) for event in told] == [(name, TRACE.split("-")[1]) for name in answers]
    assert (house.install().state, house.install().reason) == (State.CANCELLED, "wrong customer")
    assert (house.installer.installed, house.smtp.sent, house.parked()) == ([], [], [])


def test_a_cancelled_order_takes_its_install_back_but_keeps_its_account(house: House) -> None:
    house.order()
    house.settle()
    house.publish(OrderCancelled(order_id="order-1", reason="changed their mind"))
    house.settle()
    house.tick()
    assert house.install().state == State.CANCELLED
    assert len(house.server.accounts) == 1


def test_a_cancelled_order_is_not_installed_any_more(house: House) -> None:
    house.order()
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.publish(OrderCancelled(order_id="order-1"))
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    (parked,) = house.parked()
    assert parked.headers["reason-code"] == "order_cancelled"
    assert "place a new one" in str(parked.headers["remedy"])


def test_an_order_that_is_installed_can_not_be_cancelled_and_still_be_installed_anew(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.events()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    (rejected,) = house.events()
    assert rejected.data.cause.code == house.parked()[0].headers["reason-code"] == "already_installed"
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    assert house.install("order-1-g2").state == State.INSTALLED


def test_a_cancel_that_meets_a_site_that_is_served_leaves_the_order_as_its_site_stands(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.installer.verifying = gate = Gate()
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderCancelled(order_id="order-1"))
    house.run_until(lambda: house.install().ending)
    gate.opened.set()
    house.let_time_pass(2, seconds=6)
    assert "command.refused" in house.event_types()
    assert house.install().state == State.INSTALLED
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    assert house.install("order-1-g2").state == State.INSTALLED


def test_an_installed_order_stays_so_though_the_news_of_its_start_comes_late(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    (started,) = [event.data for event in house.events() if isinstance(event.data, InstallStarted)]
    house.publish(started)
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    (rejected,) = [event.data for event in house.events() if isinstance(event.data, OrderRejected)]
    assert rejected.cause.code == "already_installed"


def test_cancelling_a_reinstall_leaves_the_site_and_the_order_as_they_were(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    assert house.install("order-1-g2").state == State.CANCELLED
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    assert [job.generation for job in house.installer.installed] == [1, 3]


def test_an_order_that_failed_and_is_sent_again_has_all_its_tries_again(house: House) -> None:
    house.server.failures = [failure("server_down")] * (MAX_ATTEMPTS + 1)
    house.order()
    house.advance_until(lambda: "account.failed" in house.event_types(), minutes=60)
    house.order()
    house.advance_until(house.mailed, minutes=60)
    assert house.server.calls == MAX_ATTEMPTS + 2


def test_a_reinstall_is_a_new_generation_with_a_letter_of_its_own(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.installer.password = "canary-password-2"
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    assert [job.generation for job in house.installer.installed] == [1, 2]
    assert len(house.smtp.sent) == 2
    assert house.smtp.sent[0]["Message-ID"] != house.smtp.sent[1]["Message-ID"]
    assert "Password: canary-password-2" in _letter(house)


def test_a_clock_that_was_put_back_between_two_generations_reverses_nothing(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.clock.moment -= timedelta(hours=1)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    first, second = house.install("order-1-g1"), house.install("order-1-g2")
    assert first.finished_at
    assert second.finished_at
    assert first.finished_at > second.finished_at
    assert (first.replaced, second.replaced) == (None, 1)


def test_a_reinstall_supersedes_what_has_not_begun(house: House) -> None:
    house.order()
    house.settle()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    assert house.install("order-1-g1").state == State.CANCELLED
    assert [job.generation for job in house.installer.installed] == [2]


def test_a_reinstall_that_overtakes_its_order_waits_for_it(house: House) -> None:
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.order()
    house.settle()
    house.advance(11)
    house.tick()
    assert house.install("order-1-g2").state == State.INSTALLED
    assert house.parked() == []


def test_a_switched_off_welcome_mail_is_not_sent(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"welcome_email": False}})
    house.order()
    house.settle()
    house.tick()
    assert house.install().state == State.INSTALLED
    assert house.install().mail_state == "off"
    assert house.smtp.sent == []


def test_a_silent_smtp_server_delays_the_letter_and_not_the_site(house: House) -> None:
    house.smtp.failures = [failure("smtp_unreachable")]
    house.order()
    house.settle()
    house.tick()
    assert house.install().state == State.INSTALLED
    assert house.smtp.sent == []
    house.advance(60)
    assert len(house.smtp.sent) == 1
    assert house.install().mail_state == "sent"


def test_a_letter_that_a_reinstall_has_outdated_is_not_sent_after_the_newer_one(house: House) -> None:
    house.smtp.failures = [failure("smtp_unreachable")]
    house.order()
    house.settle()
    house.tick()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    house.let_time_pass(20, seconds=600)
    assert [message["Message-ID"] for message in house.smtp.sent] == ["<welcome.order-1-g2@hosting.example>"]
    assert house.event_types().count("install.completed") == 2, "nor is it asked for any more"
    command = house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    (refused,) = [event.data for event in house.events() if isinstance(event.data, CommandRefused)]
    assert (refused.command_id, refused.cause.detail) == (
        command.id,
        "order-1-g1: a newer install of the order has a letter",
    )


def test_a_refused_letter_is_told_apart_from_the_install(house: House) -> None:
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.order()
    house.settle()
    house.tick()
    install = house.install()
    assert (install.state, install.mail_state) == (State.INSTALLED, "failed")
    assert install.mail_cause is not None
    assert install.mail_cause.code == "recipient_refused"


def test_an_account_that_fails_for_a_moment_is_created_later(house: House) -> None:
    house.server.failures = [failure("server_down")]
    house.order()
    house.settle()
    accepted, retrying = house.events()
    assert (accepted.data.due_at, accepted.data.placed_by) == (house.clock.now(), "/test")
    assert (retrying.data.attempt, retrying.data.max_attempts) == (2, MAX_ATTEMPTS)
    assert (retrying.data.cause.code, retrying.data.due_at - accepted.data.due_at) == ("server_down", timedelta(0, 10))
    house.advance(11)
    assert house.event_types() == ["account.created", "install.staged"]


def test_a_username_that_is_taken_on_the_server_gives_way_to_another(house: House) -> None:
    house.server.failures = [failure("username_taken", CauseKind.CONFLICT)]
    house.order()
    house.settle()
    accepted, retrying, created, _ = (event.data for event in house.events())
    assert accepted.username != retrying.username == created.account.username


def test_an_account_that_cannot_be_is_told_once_and_can_be_sent_again(house: House) -> None:
    house.server.failures = [failure("domain_taken", CauseKind.CONFLICT)]
    house.order()
    house.settle()
    _, *failed = house.events()
    assert [kind(event.type) for event in failed] == ["account.failed"] * 2
    assert [event.data.domain_released for event in failed] == [False, True]
    assert (failed[0].data.cause.code, house.parked()) == ("domain_taken", [])
    house.order()
    house.settle()
    assert house.event_types() == ["order.accepted", "account.created", "install.staged"]


def test_intake_goes_on_while_an_install_runs(house: House) -> None:
    house.installer.meanwhile = gate = Gate()
    house.order(1)
    house.settle()
    consumer = house.broker.consumer("installer.due", 4)
    house.batch.run_once(consumer, timeout=1)
    assert gate.reached.wait(10)
    house.order(2)
    house.settle()
    assert len(house.server.accounts) == 2
    gate.opened.set()
    house.batch.drain(consumer)
    house.settle()


def test_run_now_calls_the_timer(house: House) -> None:
    house.publish(TimerRunNow())
    house.settle()
    assert house.is_called_to_tick


def test_the_trace_of_the_producer_goes_all_the_way_to_the_letter(house: House) -> None:
    event = house.order()
    house.publish(
        event.data.model_copy(update={"order_id": "traced", "domain": "traced.example"}), "traced", traceparent=TRACE
    )
    house.settle()
    house.tick()
    traced = [event for event in house.events() if event.subject == "traced"]
    assert [event.traceparent for event in traced] == [TRACE] * len(traced)
    assert traced[-1].type == "sitecrew.mail.sent.v1"


def test_staff_can_send_a_letter_again_and_the_row_keeps_count(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    first = house.smtp.sent[0]
    house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    second = house.smtp.sent[1]
    assert second.get_body(("plain",)).as_string() == first.get_body(("plain",)).as_string()  # type: ignore[union-attr]
    assert second["Message-ID"] != first["Message-ID"], "or a mail program would hide it"
    assert [event.data.resends for event in house.events() if isinstance(event.data, MailSent)] == [0, 1]


def test_a_letter_that_failed_is_sent_to_the_address_that_staff_give(house: House) -> None:
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.order()
    house.settle()
    house.tick()
    assert house.install().mail_state == "failed"
    house.publish(MailResend(install_id="order-1-g1", recipient="new@customer.example"))
    house.settle()
    assert "new@customer.example" in house.smtp.sent[0]["To"]
    assert (house.install().mail_state, house.install().mail_cause) == ("sent", None)


def test_staff_see_how_a_letter_looks_without_its_passwords(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    house.events()
    house.publish(MailPreview(install_id="order-1-g1"))
    house.settle()
    (told,) = house.events()
    assert isinstance(told.data, PreviewRendered)
    assert (told.data.recipient, told.data.order_id) == ("jo1@customer.example", "order-1")
    seen = f"{told.data.subject}{told.data.text}{told.data.html}"
    assert "shop1.example" in seen
    assert MASK in told.data.text
    assert house.installer.password not in seen
    assert len(house.smtp.sent) == 1
    assert house.parked() == []


def test_a_letter_that_cannot_be_rendered_is_not_shown_and_the_reason_is_told(house: House) -> None:
    house.publish(MailPreview(install_id="order-1-g1"))
    house.order()
    house.settle()
    house.tick()
    assert "command.refused" in house.event_types()
    house.welcoming._letters = SimpleNamespace(render=Mock(side_effect=failure("template_broken")))  # type: ignore[assignment]
    house.publish(MailPreview(install_id="order-1-g1"))
    house.settle()
    assert house.event_types() == ["command.refused"]


def test_a_letter_that_is_sent_again_has_all_its_attempts_again(tmp_path: Path) -> None:
    house = House(tmp_path, mailer={"max_attempts": 2, "sender": "Us <us@hosting.example>"})
    house.smtp.failures = [failure("smtp_timeout")] * 3
    house.order()
    house.settle()
    house.tick()
    house.advance_until(lambda: house.install().mail_state == "failed", minutes=10)
    house.publish(MailResend(install_id="order-1-g1"))
    house.advance_until(house.mailed, minutes=10)
    assert len(house.smtp.sent) == 1


def test_a_letter_that_was_switched_off_is_sent_when_staff_want_it(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"welcome_email": False}})
    house.order()
    house.settle()
    house.tick()
    assert house.smtp.sent == []
    house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    assert len(house.smtp.sent) == 1


@pytest.mark.parametrize(
    ("minutes", "detail", "code"),
    [(0, "it has no letter", "no_such_letter"), (1, "its letter is waiting", "not_possible")],
)
def test_a_letter_that_is_not_there_or_on_its_way_is_not_sent_again(
    house: House, minutes: int, detail: str, code: str
) -> None:
    house.smtp.failures = [failure("smtp_timeout")]
    house.order()
    house.settle()
    if minutes:
        house.tick()
    command = house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    (refused,) = [event.data for event in house.events() if isinstance(event.data, CommandRefused)]
    assert (refused.command_id, refused.cause.code) == (command.id, code)
    assert detail in refused.cause.detail
    assert house.smtp.sent == []


def test_a_letter_that_the_mailer_can_not_open_waits_for_staff_with_the_reason(house: House) -> None:
    other = generate_keys()[1]
    vars(house.welcoming)["_opener"] = Opener(other)
    house.order()
    house.settle()
    house.tick()
    assert house.install().mail_cause is not None
    assert house.install().mail_cause.code == "wrong_key"  # type: ignore[union-attr]
    house.restart(house.mailer)
    house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    assert len(house.smtp.sent) == 1


def test_an_install_without_room_is_tried_again_as_long_as_it_has_attempts(house: House) -> None:
    house.installer.failures = [failure("disk_full", CauseKind.CAPACITY)]
    house.order()
    house.settle()
    house.tick()
    assert house.is_in(State.STAGED)
    house.advance(120)
    house.tick()
    assert house.is_in(State.INSTALLED)


def test_an_accepted_order_is_carried_out_though_its_type_is_not_sold_any_more(house: House) -> None:
    house.server.failures = [failure("disk_full", CauseKind.CAPACITY)]
    house.order()
    house.settle()
    house.settings = house.settings.model_copy(update={"sites": _sites(house, "wordpress", sold=False)})
    house.restart(house.intake)
    house.advance(11)
    assert house.event_types() == ["order.accepted", "account.retrying", "account.created", "install.staged"]
    house.order()
    house.order(2)
    house.settle()
    told = {kind(event.type): event.data.order_id for event in house.events()}
    assert told == {"order.known": "order-1", "order.rejected": "order-2"}, "the same order again changes nothing"


def test_an_accepted_order_whose_type_is_gone_from_the_settings_fails_with_the_reason(house: House) -> None:
    house.server.failures = [failure("disk_full", CauseKind.CAPACITY)]
    house.order()
    house.settle()
    before = house.settings
    house.settings = before.model_copy(update={"sites": {"static": before.sites["static"]}})
    house.restart(house.intake)
    house.advance(11)
    house.let_time_pass(10, seconds=600)
    told = house.events()
    assert [kind(event.type) for event in told[1:]] == ["account.retrying", "account.failed", "account.failed"]
    cause = told[-1].data.cause
    assert cause.code == "not_configured"
    assert cause.detail == "the settings no longer have server local or site type wordpress"
    assert not house.parked()
    house.settings = before
    house.restart(house.intake)
    house.order(id="again")
    house.settle()
    assert house.event_types() == ["order.accepted", "account.created", "install.staged"]


def _sites(house: House, name: str, **changes: Any) -> dict[str, Any]:
    return {**house.settings.sites, name: house.settings.sites[name].model_copy(update=changes)}


def test_a_type_that_is_not_sold_is_rejected(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"sold": False}})
    house.order()
    house.settle()
    (rejected,) = house.events()
    assert [(error.field, error.message) for error in rejected.data.errors] == [
        ("data.site_type", "must be one of static")
    ]


# Names and addresses


def test_www_leads_to_the_site_and_the_letter_speaks_of_it(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    [account] = house.server.accounts.values()
    assert account.aliases == (f"www.{account.domain}",)
    assert f"www.{account.domain}" in _letter(house)


@pytest.mark.parametrize(("domain", "www"), [("shop.example", False), ("www.shop.example", True)])
def test_no_www_is_made_where_none_is_wanted_or_the_domain_has_its_own(tmp_path: Path, domain: str, www: bool) -> None:
    house = House(tmp_path, sites={"wordpress": {"www": www}})
    house.order(domain=domain)
    house.settle()
    house.tick()
    assert [account.aliases for account in house.server.accounts.values()] == [()]
    assert "www.www." not in _letter(house)
    assert domain.startswith("www.") or "www." not in _letter(house)


def test_a_server_that_has_moved_since_the_order_is_named_at_its_new_address(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"address": "temporary"}})
    house.order()
    house.settle()
    house.server.address, house.server.control_panel_url = "198.51.100.9", "https://new-panel.example/"
    house.tick()
    [job] = house.installer.installed
    assert job.url == f"http://198.51.100.9/~{job.username}/"
    completed = next(event.data for event in house.events() if event.type.endswith("install.completed.v1"))
    assert (completed.site.url, completed.account.address) == (job.url, "198.51.100.9")
    letter = _letter(house)
    assert "203.0.113.7" not in letter
    assert "198.51.100.9" in letter
    assert "https://new-panel.example/" in letter


def test_an_address_that_is_corrected_before_a_retry_is_the_one_that_counts(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"address": "temporary"}})
    house.installer.failures.append(failure("verify_failed"))
    house.order()
    house.settle()
    house.tick()
    house.server.address = "198.51.100.9"
    house.advance(3600)
    house.tick()
    assert house.install().state == State.INSTALLED
    assert [job.url.split("/")[2] for job in house.installer.installed] == ["198.51.100.9"]
    assert "203.0.113.7" not in _letter(house)


def test_an_install_may_take_its_time_by_this_machines_clock_whatever_the_store_says(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    assert abs(house.clock.now() - datetime.now(UTC)) > timedelta(days=1)
    house.order()
    house.settle()
    left = house.installer.installed[0].deadline - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(seconds=house.settings.installer.timeout_seconds)
