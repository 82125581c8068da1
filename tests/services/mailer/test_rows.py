"""What the mailer loads and writes for a batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import MagicMock

import pytest

from foundation.config.keys import generate_keys
from foundation.config.settings import Limits, Settings
from foundation.handling.outcomes import Effect, Retry
from foundation.handling.unit_of_work import Database
from foundation.telemetry.tracing import Trace
from schemas.envelope import Event
from schemas.orders import OrderAmended
from services.mailer import recovery
from services.mailer.causes import MAIL_CAUSES
from services.mailer.delivery import Welcoming
from services.mailer.mails import MAILS, Mail
from services.mailer.rows import MailRows, load
from services.mailer.service import MIGRATIONS
from services.mailer.states import State
from tests.services.mailer.test_delivery import ANN, JO, completed
from tests.support.house import START
from tests.support.in_memory import event_of
from tests.support.rows import on_each_store
from tests.support.statements import statements

pytestmark = pytest.mark.usefixtures("quiet")


database = on_each_store("mailer", MIGRATIONS, load)


def welcoming(per_hour: int = 60) -> Welcoming:
    settings = Settings(keys={"public": generate_keys()[0]}, limits=Limits(letters_per_hour=per_hour))
    return Welcoming(settings, MagicMock(), MagicMock(), MagicMock(), lambda: START)


def sent(database: Database[MailRows], events: Sequence[Event[Any]]) -> int:
    """Claim and record the mails of these events; how many statements that took."""
    mailer = welcoming()
    with statements(database) as executed:
        with database.begin(events) as uow:
            effects = [mailer.welcome(uow, event) for event in events]
        with database.begin(events) as uow:
            for effect, event in zip(effects, events, strict=True):
                assert isinstance(effect, Effect)
                effect.succeeded(uow, effect.claim, event, "<1@x>")
    return len(executed)


def test_many_mails_take_no_more_statements_than_one(database: Database[MailRows]) -> None:
    one = sent(database, [event_of(completed(0))])
    assert sent(database, [event_of(completed(order)) for order in range(1, 60)]) == one


def test_the_address_of_a_customer_who_is_corrected_at_the_same_time_is_counted(database: Database[MailRows]) -> None:
    mailer = welcoming(per_hour=1)
    amendment = event_of(OrderAmended(order_id="2", customer=ANN))
    with database.begin([event_of(completed(1, customer=ANN))]) as uow:
        assert isinstance(mailer.welcome(uow, event_of(completed(1, customer=ANN))), Effect)
    with database.begin([amendment, event_of(completed(2, customer=JO))]) as uow:
        mailer.amend(uow, amendment)
        assert isinstance(mailer.welcome(uow, event_of(completed(2, customer=JO))), Retry)


def test_what_was_written_is_what_is_loaded(database: Database[MailRows]) -> None:
    event = event_of(completed())
    with database.begin([event]) as uow:
        effect = welcoming().welcome(uow, event)
        assert isinstance(effect, Effect)
        before = [loaded.all() for loaded in (uow.rows.mails, uow.rows.recipients)]
    with database.begin([event]) as uow:
        assert uow.rows.mails.held(effect.claim) == effect.claim
        assert [loaded.all() for loaded in (uow.rows.mails, uow.rows.recipients)] == before


def test_mails_whose_key_is_gone_for_good_keep_no_other_closed(database: Database[MailRows]) -> None:
    wrong = MAIL_CAUSES.cause("wrong_key", "on purpose")
    with database.begin() as uow:
        for number in range(120):
            mail = Mail.of(completed(number), Trace(), START)
            uow.rows.mails.save(replace(mail, state=State.FAILED, cause=wrong, check_at=None))
    newest = f"{number}-g1"

    def is_reopened() -> bool:
        recovery.reopen(database, lambda mail: mail.install_id == newest)
        with database.store.reading() as connection:
            mail = MAILS.get(connection, newest)
        return mail is not None and mail.state == State.WAITING

    assert any(is_reopened() for _ in range(50))
