"""What becomes of a mail: every way a handler can decide, on rows in memory."""

from dataclasses import dataclass, field
from typing import Any
from unittest.mock import MagicMock

import pytest

from foundation.config.keys import generate_keys
from foundation.config.queues import MAILER_INSTALLS
from foundation.config.settings import Limits, Settings
from foundation.errors import IllegalTransition
from foundation.handling.outcomes import Done, Effect, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.store.records import Loaded
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted, SiteSpec
from schemas.mails import MailResend
from schemas.orders import OrderAmended
from schemas.values import AccountRef, Cause, CauseKind, Customer
from services.mailer.causes import MAIL_CAUSES
from services.mailer.customers import CUSTOMERS
from services.mailer.delivery import Welcoming
from services.mailer.mails import LEASE, MAILS, OVERDUE, TRANSITIONS, Mail
from services.mailer.recipients import RECIPIENTS
from services.mailer.resend import resend
from services.mailer.rows import MailRows
from services.mailer.states import State
from tests.support.in_memory import at, emitted, event_of, event_types, redelivered, unit_of_work

pytestmark = pytest.mark.usefixtures("quiet")

JO, ANN = (Customer(name=name, email=f"{name}@customer.example") for name in ("Jo", "Ann"))
TEMPORARY = MAIL_CAUSES.cause("smtp_temporary", "later")
REFUSED = MAIL_CAUSES.cause("recipient_refused", "no")


def completed(
    order: int = 1, generation: int = 1, *, customer: Customer = JO, site: str = "static"
) -> InstallCompleted:
    return InstallCompleted(
        install_id=f"{order}-g{generation}",
        order_id=str(order),
        generation=generation,
        attempt=1,
        site=SiteSpec(site_type=site, url="http://x.example/", title="X"),
        application="Static",
        version="1",
        account=AccountRef(server="local", username="shopx", domain="x.example", address="203.0.113.7"),
        customer=customer,
        seconds=1,
    )


@dataclass
class Desk:
    """A mailer and its rows."""

    per_hour: int = 60
    rows: MailRows = field(default_factory=lambda: MailRows(Loaded(MAILS), Loaded(CUSTOMERS), Loaded(RECIPIENTS)))

    def __post_init__(self) -> None:
        settings = Settings(keys={"public": generate_keys()[0]}, limits=Limits(letters_per_hour=self.per_hour))
        silent = settings.sites["static"].model_copy(update={"welcome_email": False})
        settings = settings.model_copy(update={"sites": {**settings.sites, "silent": silent}})
        self.welcoming = Welcoming(settings, MagicMock(), MagicMock(), MagicMock(), lambda: at(0))
        self.attempts = settings.mailer.max_attempts

    def at(self, seconds: float) -> UnitOfWork[MailRows]:
        return unit_of_work(self.rows, "mailer", seconds)

    def welcome(
        self, seconds: float = 0, data: InstallCompleted | None = None, source: str = "/test"
    ) -> Outcome | Effect:
        uow, event = self.at(seconds), event_of(data or completed(), source, seconds)
        result = self.welcoming.welcome(uow, event)
        self.event_types = event_types(uow)
        return result

    def claimed(self, seconds: float = 0, data: InstallCompleted | None = None) -> Mail:
        effect = self.welcome(seconds, data)
        assert isinstance(effect, Effect)
        claim: Mail = effect.claim
        return claim

    def failed(self, claim: Mail, cause: Cause, seconds: float = 1) -> tuple[Outcome, UnitOfWork[MailRows]]:
        uow = self.at(seconds)
        return self.welcoming._fail(uow, claim, event_of(claim.completed), cause), uow

    def sent(self, claim: Mail, seconds: float = 1) -> UnitOfWork[MailRows]:
        uow = self.at(seconds)
        assert self.welcoming._record(uow, claim, event_of(claim.completed), "<1@x>") == Done()
        return uow

    def mail(self, install_id: str = "1-g1") -> Mail:
        found = self.rows.mails.get(install_id)
        assert found is not None
        return found

    def counted(self, address: str = JO.email) -> int:
        known = self.rows.recipients.get(address.lower())
        return len(known.sent.at) if known else 0


# An install is completed


def test_a_new_mail_is_claimed_and_counted() -> None:
    desk = Desk()
    assert desk.claimed() == desk.mail()
    mail = desk.mail()
    assert (mail.state, mail.fence, mail.attempt) == (State.SENDING, 1, 1)
    assert (mail.lease_until, mail.check_at) == (at(0) + LEASE, at(0) + LEASE)
    assert (mail.recipient, desk.counted()) == (JO.email, 1)


def test_a_mail_that_is_not_wanted_is_suppressed_and_stays_so() -> None:
    desk = Desk()
    for seconds, told in ((0, ["mail.suppressed"]), (0, []), (100, ["mail.suppressed"])):  # the last is asked for
        assert desk.welcome(seconds, completed(site="silent")) == Done()
        assert desk.event_types == told
    assert (desk.mail().state, desk.mail().check_at, desk.counted()) == (State.SUPPRESSED, None, 0)
    assert desk.mail().reason == "no letters are sent for silent sites"


def test_nobody_else_claims_it_while_it_is_leased() -> None:
    desk = Desk()
    claim = desk.claimed()
    assert desk.welcome(LEASE.total_seconds() - 1) == Done()
    assert desk.mail() == claim


def test_a_mail_whose_worker_was_lost_is_taken_over() -> None:
    desk = Desk()
    desk.claimed()
    mail = desk.claimed(LEASE.total_seconds())
    assert (mail.fence, mail.attempt) == (2, 2)
    assert (desk.event_types, mail.cause and mail.cause.code) == (["mail.waiting"], "worker_lost")


def test_a_mail_that_loses_every_worker_fails() -> None:
    desk = Desk()
    for attempt in range(desk.attempts):
        desk.claimed(attempt * 60)
    assert desk.welcome(desk.attempts * 60) == Done()
    mail = desk.mail()
    assert mail.cause is not None
    assert (mail.state, mail.cause.code, desk.event_types) == (State.FAILED, "worker_lost", ["mail.failed"])


def test_a_mail_waits_until_it_is_due_but_for_what_clocks_differ() -> None:
    desk = Desk()
    desk.rows.mails.save(desk.claimed().put_off(at(100), TEMPORARY))
    assert desk.welcome(98) == Done()
    assert desk.mail().state == State.WAITING
    assert desk.claimed(99.5).attempt == 2


def test_a_mail_is_suppressed_once_a_newer_install_has_one() -> None:
    desk = Desk()
    desk.rows.mails.save(desk.claimed().put_off(at(10), TEMPORARY))
    desk.claimed(5, completed(generation=2))
    assert desk.welcome(10) == Done()
    assert (desk.mail().state, desk.mail().cause, desk.event_types) == (State.SUPPRESSED, None, ["mail.suppressed"])
    assert desk.mail().reason == "a newer install of the order has a letter"
    assert desk.mail("1-g2").state == State.SENDING


def test_an_address_that_has_had_its_mails_waits_which_is_no_attempt() -> None:
    desk = Desk(per_hour=2)
    for order in (1, 2):
        desk.claimed(order, completed(order))
    shouting = Customer(name="Jo", email="JO@customer.example")
    result = desk.welcome(10, completed(3, customer=shouting))
    assert isinstance(result, Retry)
    assert (result.at, result.cause.code, desk.event_types) == (at(3601), "letters_limit", ["mail.waiting"])
    mail = desk.mail("3-g1")
    assert (mail.state, mail.fence, mail.attempt, mail.due_at) == (State.WAITING, 0, 0, at(3601))
    assert mail.check_at == at(3601) + OVERDUE
    assert desk.claimed(10, completed(4, customer=ANN)).state == State.SENDING
    assert desk.claimed(3601, completed(3, customer=shouting)).attempt == 1
    assert desk.counted() == 2


def test_what_became_of_it_is_told_again_only_to_an_installer_that_asks() -> None:
    desk = Desk()
    desk.sent(desk.claimed())
    for seconds, source, told in ((0, "/test", []), (9, "/sitecrew/mailer", []), (9, "/test", ["mail.sent"])):
        assert desk.welcome(seconds, source=source) == Done()
        assert desk.event_types == told
    desk = Desk()
    desk.failed(desk.claimed(), REFUSED)
    assert desk.welcome(9) == Done()
    assert desk.event_types == ["mail.failed"]


# The customer is corrected


def amended(desk: Desk, customer: Customer, seconds: float) -> None:
    event = event_of(OrderAmended(order_id="1", customer=customer), seconds=seconds)
    assert desk.welcoming.amend(desk.at(seconds), event) == Done()


def test_a_mail_goes_to_the_customer_as_he_is_now() -> None:
    desk = Desk()
    amended(desk, ANN, 5)
    amended(desk, JO, 3)
    assert desk.claimed(6).recipient == ANN.email
    assert (desk.counted(JO.email), desk.counted(ANN.email)) == (0, 1)


def test_a_mail_that_waits_is_told_to_go_to_the_corrected_customer() -> None:
    desk = Desk()
    desk.failed(desk.claimed(), TEMPORARY)
    uow = desk.at(5)
    desk.welcoming.amend(uow, event_of(OrderAmended(order_id="1", customer=ANN), seconds=5))
    [waiting] = emitted(uow)
    assert (waiting.type, waiting.data.recipient) == ("sitecrew.mail.waiting.v1", ANN.email)
    assert waiting.sequence == desk.mail().version


def test_what_is_being_sent_goes_where_it_goes_and_the_next_attempt_elsewhere() -> None:
    desk = Desk()
    claim = desk.claimed()
    amended(desk, ANN, 1)
    _, uow = desk.failed(claim, REFUSED)
    assert [event.data.recipient for event in emitted(uow)] == [JO.email]
    assert (desk.mail().recipient, desk.mail().completed.customer) == (JO.email, ANN)
    resent(desk)
    assert desk.mail().recipient == ANN.email


# It was sent, or was not


def test_a_mail_that_was_sent_is_over() -> None:
    desk = Desk()
    uow = desk.sent(desk.claimed())
    mail = desk.mail()
    assert event_types(uow) == ["mail.sent"]
    assert (mail.state, mail.message_id, mail.sent_at) == (State.SENT, "<1@x>", at(1))
    assert (mail.lease_owner, mail.lease_until, mail.check_at, mail.cause) == (None, None, None, None)
    assert desk.counted() == 1


def test_a_worker_that_has_lost_its_lease_records_nothing() -> None:
    desk = Desk()
    lost = desk.claimed()
    successor = desk.claimed(60)
    assert event_types(desk.sent(lost, 61)) == []
    for cause in (TEMPORARY, REFUSED):
        result, uow = desk.failed(lost, cause, 61)
        assert (result, event_types(uow)) == (Done(), [])
    assert desk.mail() == successor


def test_after_a_cause_that_passes_there_is_another_attempt_and_nothing_was_counted() -> None:
    desk = Desk()
    result, uow = desk.failed(desk.claimed(), TEMPORARY)
    assert isinstance(result, Retry)
    assert 24 <= (result.at - at(1)).total_seconds() <= 36
    mail = desk.mail()
    assert (mail.state, mail.cause, mail.due_at, mail.attempt) == (State.WAITING, TEMPORARY, result.at, 1)
    assert (mail.lease_owner, mail.check_at) == (None, result.at + OVERDUE)
    assert (event_types(uow), desk.counted()) == (["mail.waiting"], 0)
    [waiting] = (event.data for event in emitted(uow))
    assert (waiting.attempt, waiting.max_attempts, waiting.due_at) == (2, desk.attempts, result.at)
    assert (waiting.cause, waiting.recipient) == (TEMPORARY, JO.email)


@pytest.mark.parametrize("code", ["smtp_interrupted", "smtp_timeout"])
def test_what_was_perhaps_sent_is_counted(code: str) -> None:
    desk = Desk()
    desk.failed(desk.claimed(), MAIL_CAUSES.cause(code, "gone"))
    assert desk.counted() == 1


@pytest.mark.parametrize("kind", [kind for kind in CauseKind if kind != CauseKind.TRANSIENT])
def test_after_any_other_cause_it_has_failed(kind: CauseKind) -> None:
    desk = Desk()
    cause = REFUSED.model_copy(update={"kind": kind})
    result, uow = desk.failed(desk.claimed(), cause)
    assert (result, event_types(uow)) == (Done(), ["mail.failed"])
    assert (desk.mail().state, desk.mail().cause, desk.mail().check_at) == (State.FAILED, cause, None)


def test_the_last_attempt_fails_for_good() -> None:
    desk = Desk()
    for attempt in range(1, desk.attempts + 1):
        result, uow = desk.failed(desk.claimed(attempt * 10_000), TEMPORARY, attempt * 10_000)
        assert isinstance(result, Retry) == (attempt < desk.attempts)
    assert event_types(uow) == ["mail.failed"]


def test_a_claim_that_no_thread_has_begun_is_given_back() -> None:
    desk = Desk()
    claim = desk.claimed()
    result = desk.welcoming._release(desk.at(1), claim, event_of(claim.completed))
    assert isinstance(result, Retry)
    assert (result.at, desk.mail().state, desk.mail().due_at) == (at(1), State.WAITING, at(0))
    assert (desk.mail().fence, desk.mail().attempt, desk.counted()) == (1, 0, 0)


# Staff have it sent again


def resent(desk: Desk, install_id: str = "1-g1", recipient: str | None = None) -> UnitOfWork[Any]:
    uow = desk.at(100)
    assert resend(uow, event_of(MailResend(install_id=install_id, recipient=recipient))) == Done()
    return uow


def test_a_mail_is_sent_again_with_all_its_attempts_and_without_a_limit() -> None:
    desk = Desk(per_hour=1)
    desk.failed(desk.claimed(), REFUSED)
    desk.claimed(1, completed(2))
    uow = resent(desk, recipient="new@customer.example")
    assert (redelivered(uow), event_types(uow)) == ([MAILER_INSTALLS], ["mail.waiting"])
    mail = desk.mail()
    assert (mail.state, mail.recipient, mail.due_at, mail.cause) == (
        State.WAITING,
        "new@customer.example",
        at(100),
        None,
    )
    assert (mail.attempt, mail.attempts_before, mail.resends) == (0, 1, 1)
    assert (desk.claimed(100).attempt, desk.mail().fence, desk.counted("new@customer.example")) == (1, 2, 0)


def test_a_mail_that_a_limit_holds_can_be_sent_again() -> None:
    desk = Desk(per_hour=1)
    desk.claimed(0, completed(2))
    assert isinstance(desk.welcome(1), Retry)
    assert redelivered(resent(desk)) == [MAILER_INSTALLS]


def test_what_is_on_its_way_outdated_or_unknown_is_not_sent_again() -> None:
    desk = Desk()
    desk.sent(desk.claimed())
    desk.claimed(2, completed(generation=2))
    for install_id in ("1-g1", "1-g2", "2-g1"):
        uow = resent(desk, install_id)
        assert (event_types(uow), redelivered(uow)) == (["command.refused"], [])


# The record


def mail_in(state: State) -> Mail:
    return Mail(
        install_id="1-g1",
        order_id="1",
        generation=1,
        recipient=JO.email,
        state=state,
        due_at=at(0),
        completed=completed(),
        trace=Trace(),
        created_at=at(0),
    )


@pytest.mark.parametrize("state", State)
def test_a_mail_goes_only_where_its_lifecycle_leads(state: State) -> None:
    mail = mail_in(state)
    ways: dict[State, Any] = {
        State.WAITING: lambda: mail.put_off(at(1), TEMPORARY),
        State.SENDING: lambda: mail.sending(Desk().welcoming._terms, at(1), 8),
        State.SENT: lambda: mail.sent("<1@x>", at(1)),
        State.FAILED: lambda: mail.failed(REFUSED),
        State.SUPPRESSED: lambda: mail.suppressed("on purpose"),
    }
    for target, go in ways.items():
        if target in TRANSITIONS[state]:
            assert go().state == target
        else:
            with pytest.raises(IllegalTransition, match=f"1-g1 is {state} and cannot become {target}"):
                go()
