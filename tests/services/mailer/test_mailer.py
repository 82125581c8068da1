"""Letters in the life of an order: limits, corrected addresses, keys, languages, and who may send a letter."""

from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, select, update

from foundation.config.keys import Opener, generate_keys
from foundation.config.queues import INSTALLER_DUE
from foundation.config.settings import Keys
from foundation.handling import leases
from schemas.mails import MailResend
from schemas.orders import OrderAmended, OrderReinstallRequested
from schemas.values import CauseKind, Customer
from services.mailer import listing
from services.mailer import recipients as addresses
from services.mailer.mails import Mail, mails
from services.mailer.states import State
from tests.support.house import Gate, House, failure


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, limits={"letters_per_hour": 3, "reinstalls_per_hour": 0})


def letter(house: House, install_id: str = "order-1-g1") -> Mail:
    with house.mailer.store.reading() as connection:
        found = listing.latest(connection, install_id)
    assert found is not None
    return found


def recipients(house: House) -> list[str]:
    return [str(message["To"].addresses[0].addr_spec) for message in house.smtp.sent]


def to_one(house: House, count: int, email: str = "stranger@customer.example") -> None:
    for number in range(1, count + 1):
        house.order(number, customer={"name": "Jo", "email": email})
    house.settle()
    house.tick()


# what one producer may cause


def test_a_stranger_gets_so_many_letters_in_an_hour_and_the_rest_waits_visibly(house: House) -> None:
    to_one(house, 7)
    assert len(house.smtp.sent) == 3
    waiting = [letter(house, f"order-{number}-g1") for number in range(1, 8)]
    held = [mail for mail in waiting if mail.state == State.WAITING]
    assert len(held) == 4
    assert {(mail.cause.code, mail.cause.kind) for mail in held if mail.cause} == {
        ("letters_limit", CauseKind.CAPACITY)
    }
    house.let_time_pass(59, 60)
    assert len(house.smtp.sent) == 3, "however often it is looked at"
    house.let_time_pass(3, 60)
    assert len(house.smtp.sent) == 6
    house.let_time_pass(61, 60)
    assert len(house.smtp.sent) == 7
    assert "mail.failed" not in house.event_types()


def test_other_customers_do_not_wait_for_him(house: House) -> None:
    to_one(house, 5)
    house.order(9, customer={"name": "Ann", "email": "ann@customer.example"})
    house.settle()
    house.tick()
    assert "ann@customer.example" in recipients(house)


def test_an_address_is_one_address_in_any_case(house: House) -> None:
    to_one(house, 3)
    house.order(8, customer={"name": "Jo", "email": "Stranger@customer.example"})
    house.settle()
    house.tick()
    assert len(house.smtp.sent) == 3


def test_reinstalls_of_one_order_do_not_flood_its_customer(house: House) -> None:
    house.order()
    house.settle()
    house.tick()
    for number in range(6):
        house.publish(OrderReinstallRequested(order_id="order-1"), id=f"again-{number}")
        house.settle()
        house.tick()
    assert len(house.smtp.sent) == 3
    house.let_time_pass(61, 60)
    assert len(house.smtp.sent) == 4, "of what waited only the newest opens anything"


def test_letters_that_the_mail_server_does_not_take_are_not_counted(house: House) -> None:
    house.smtp.failures = [failure("smtp_temporary") for _ in range(4)]
    house.order()
    house.advance_until(house.mailed)
    to_one(house, 3, "jo1@customer.example")
    assert len(house.smtp.sent) == 3


def test_the_count_is_kept_over_a_restart(house: House) -> None:
    to_one(house, 3)
    house.restart(house.mailer)
    house.order(9, customer={"name": "Jo", "email": "stranger@customer.example"})
    house.settle()
    house.tick()
    assert len(house.smtp.sent) == 3


def test_an_address_is_forgotten_after_the_hour_and_not_before(house: House) -> None:
    def known() -> list[str]:
        with house.mailer.store.reading() as connection:
            return list(connection.execute(select(addresses.recipients.c.address)).scalars())

    to_one(house, 3)
    addresses.forget_old(house.mailer.database)
    assert known() == ["stranger@customer.example"]
    house.advance(3599)
    addresses.forget_old(house.mailer.database)
    assert known() == ["stranger@customer.example"]
    house.advance(2)
    addresses.forget_old(house.mailer.database)
    assert known() == []
    house.order(9, customer={"name": "Jo", "email": "stranger@customer.example"})
    house.settle()
    house.tick()
    assert len(house.smtp.sent) == 4


def test_the_mailer_forgets_addresses_by_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[object] = []
    monkeypatch.setattr(addresses, "forget_old", forgotten.append)
    house.run_periodic_tasks()
    assert forgotten == [house.mailer.database]


def test_what_staff_send_again_is_not_held_and_zero_is_no_limit(house: House, tmp_path: Path) -> None:
    to_one(house, 5)
    held = next(n for n in range(1, 6) if letter(house, f"order-{n}-g1").state == State.WAITING)
    house.publish(MailResend(install_id=f"order-{held}-g1"))
    house.settle()
    assert len(house.smtp.sent) == 4
    (tmp_path / "other").mkdir()
    unlimited = House(tmp_path / "other", limits={"letters_per_hour": 0})
    to_one(unlimited, 70)
    assert len(unlimited.smtp.sent) == 70


# a corrected address


def corrected(house: House, email: str, order_id: str = "order-1") -> None:
    house.publish(OrderAmended(order_id=order_id, customer=Customer(name="Jo Muller", email=email)))
    house.settle()


def test_letters_go_to_the_address_as_it_was_corrected_even_if_the_install_is_older(house: House) -> None:
    house.order()
    house.settle()
    corrected(house, "new@customer.example")
    house.tick()
    assert recipients(house) == ["new@customer.example"]
    assert "Jo Muller" in str(house.smtp.sent[0]["To"])


def test_a_letter_that_failed_is_sent_again_to_the_corrected_address(house: House) -> None:
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.order()
    house.settle()
    house.tick()
    corrected(house, "new@customer.example")
    assert letter(house).state == State.FAILED
    house.publish(MailResend(install_id="order-1-g1"))
    house.settle()
    assert recipients(house) == ["new@customer.example"]


def test_a_letter_that_is_being_sent_while_it_is_corrected_is_tried_again_at_the_new_address(house: House) -> None:
    gate = Gate()

    def refused(message: Any) -> None:
        gate(message)
        house.welcoming._deliver = house.smtp.send
        raise failure("smtp_temporary")

    house.welcoming._deliver = refused
    house.order()
    house.settle()
    consumer = house.broker.consumer(INSTALLER_DUE, 4)
    house.batch.run_once(consumer, timeout=0)

    def begun() -> bool:
        house.batch.run_once(consumer, timeout=0)
        return gate.reached.is_set()

    house.run_until(begun)
    house.publish(OrderAmended(order_id="order-1", customer=Customer(name="Jo", email="new@customer.example")))
    house.run_until(lambda: letter(house).completed.customer.email == "new@customer.example")
    gate.opened.set()
    house.batch.drain(consumer)
    house.advance_until(house.mailed)
    assert recipients(house) == ["new@customer.example"]


def test_a_letter_that_hangs_is_left_to_another_worker_when_its_time_is_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    vars(house.welcoming)["_deliver"] = gate
    house.order()
    house.settle()
    consumer = house.broker.consumer(INSTALLER_DUE, 4)

    def begun() -> bool:
        house.batch.run_once(consumer, timeout=0)
        return gate.reached.is_set()

    house.run_until(begun)
    assert list(house.welcoming.leases.held()) == ["order-1-g1"]
    later = monotonic() + house.settings.mailer.smtp.deadline_seconds + 61
    monkeypatch.setattr(leases, "monotonic", lambda: later)
    assert list(house.welcoming.leases.held()) == []
    gate.opened.set()
    house.batch.drain(consumer)


def test_an_older_correction_that_comes_late_changes_nothing(house: House) -> None:
    house.order()
    house.settle()
    early, late = house.clock.now(), house.clock.now() + timedelta(seconds=5)
    for time, email in ((late, "right@customer.example"), (early, "wrong@customer.example")):
        house.publish(OrderAmended(order_id="order-1", customer=Customer(name="Jo", email=email)), time=time)
        house.settle()
    house.tick()
    assert recipients(house) == ["right@customer.example"]


# the key


def test_a_letter_whose_key_is_not_there_is_told_and_sent_by_itself_when_the_key_is(house: House) -> None:
    right = house.welcoming._opener
    house.welcoming._opener = Opener(generate_keys()[1])
    house.order()
    house.settle()
    house.tick()
    house.let_time_pass(5, 600)
    assert letter(house).state == State.FAILED
    [failed] = [event.data for event in house.events() if event.type.endswith("mail.failed.v1")]
    assert (failed.cause.code, failed.cause.kind) == ("wrong_key", CauseKind.CONFIGURATION)
    assert failed.next == "sent automatically once a mailer has the key for it"
    house.welcoming._opener = right
    house.let_time_pass(1, 60)
    assert len(house.smtp.sent) == 1
    assert house.mailed()
    assert (letter(house).state, letter(house).cause) == (State.SENT, None)


def test_the_pair_may_change_between_the_order_and_its_letter(house: House) -> None:
    house.order()
    house.settle()
    public, private = generate_keys()
    old = house.settings.keys
    house.welcoming._opener = Opener(private, old.public, [old.private.get_secret_value()])
    house.settings = house.settings.model_copy(update={"keys": Keys(public=public, private=SecretStr(private))})
    house.restart(house.intake)
    house.restart(house.installing)
    house.tick()
    house.order(2)
    house.settle()
    house.tick()
    assert len(house.smtp.sent) == 2


# who a letter is for


def test_a_name_is_an_installs_before_it_is_an_orders(house: House) -> None:
    house.order(customer={"name": "Right", "email": "right@customer.example"})
    house.order(2, customer={"name": "Other", "email": "other@customer.example"})
    house.settle()
    house.tick()
    called_alike = update(mails).where(mails.c.order_id == "order-2").values(order_id="order-1-g1")

    def named(connection: Connection, name: str) -> str:
        found = listing.latest(connection, name)
        assert found is not None
        return found.completed.customer.email

    with house.mailer.store.reading() as connection:  # nothing of it is kept
        connection.execute(called_alike)
        assert named(connection, "order-1-g1") == "right@customer.example"
        assert named(connection, "order-1") == "right@customer.example"


def test_what_failed_says_what_comes_next_and_how_often_it_was_to_be_tried(house: House) -> None:
    house.smtp.failures = [failure("recipient_refused", CauseKind.PERMANENT)]
    house.order()
    house.settle()
    house.tick()
    [failed] = [event.data for event in house.events() if event.type.endswith("mail.failed.v1")]
    assert failed.max_attempts == house.settings.mailer.max_attempts
    assert failed.next == "not retried automatically; once the cause is fixed: `sitecrew mail resend order-1-g1`"


# languages and secrets


def test_an_order_in_german_brings_a_german_letter(house: House) -> None:
    house.order(locale="de_AT")
    house.settle()
    house.tick()
    assert house.smtp.sent[0]["Content-Language"] == "de"


def test_a_mail_server_that_quotes_the_password_does_not_bring_it_into_rows_or_events(house: House) -> None:
    def quoting(_message: Any) -> None:
        refused = failure("smtp_refused", CauseKind.PERMANENT)
        detail = f"looks like phishing: Mot de passe : {house.installer.password}"
        refused.cause = refused.cause.model_copy(update={"detail": detail})
        raise refused

    house.welcoming._deliver = quoting
    house.order()
    house.settle()
    house.tick()
    mail = letter(house)
    assert mail.cause is not None
    assert mail.cause.detail == "looks like phishing: Mot de passe : ***"


def test_a_letter_whose_message_was_lost_is_woken_by_the_mailer_itself(house: House) -> None:
    house.smtp.failures = [failure("smtp_unreachable")]
    house.order()
    house.settle()
    house.tick()
    house.wipe()
    house.pass_time(600)
    house.mailer.run_periodic_tasks()
    house.settle()
    assert len(house.smtp.sent) == 1
