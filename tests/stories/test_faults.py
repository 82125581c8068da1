"""What goes wrong in and around the services, at every step of an order's life: nothing is lost, and
nothing is done twice that can be seen."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from foundation.broker import Confirmation, Message, codec
from foundation.broker.codec import Malformed
from foundation.broker.delay import DELIVER, destination
from foundation.broker.limits import MAX_BYTES
from foundation.broker.topology import ORDERS, PARKING
from foundation.config.queues import INSTALLER_DUE, INSTALLER_NOW, INTAKE_ORDERS, MAILER_INSTALLS
from foundation.errors import StoreUnreachable
from foundation.handling import parking
from foundation.handling.worker import Phase
from foundation.service import process
from foundation.service.broadcast import Broadcast
from foundation.service.lanes import Lane, Periodic
from schemas.envelope import Event
from schemas.installs import InstallCancel
from schemas.mails import MailResend
from schemas.orders import OrderCancelled, OrderPlaced, OrderReinstallRequested
from schemas.values import CauseKind
from services.installer.states import State
from services.mailer import listing, recovery
from services.mailer.delivery import Welcoming
from services.mailer.states import State as MailState
from tests.support.brokers import until
from tests.support.house import PATIENCE, TRACE, Gate, House, Killed, Service, failure

pytestmark = pytest.mark.usefixtures("quiet")

AT_ONCE = {"wordpress": {"stage": False}}
EFFECTS = {
    "intake": ("account.created", INTAKE_ORDERS),
    "installing": ("install.completed", INSTALLER_NOW),
    "mailer": ("mail.sent", MAILER_INSTALLS),
}
"""What each service says when its one thing is done, and the queue that it is told by."""
EFFECTIVE: dict[str, Callable[[House], tuple[object, str]]] = {
    "intake": lambda house: (house.server, "create_account"),
    "installing": lambda house: (house.installer, "install"),
    "mailer": lambda house: (house.welcoming, "_deliver"),
}
"""Whose method it is that does the service's one thing."""


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites=AT_ONCE)


class Killer:
    """Ends a service's process at a point of its work, once."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.name = name
        self.struck = threading.Event()
        self.event, self.queue = EFFECTS[name]

    @property
    def service(self) -> Service:
        service: Service = getattr(self.house, self.name)
        return service

    def wait_at(self, point: str) -> None:
        {
            "before the effect": lambda: self._at_effect(after=False),
            "after the effect": lambda: self._at_effect(after=True),
            "after the commit": self._after_commit,
            "before the acknowledgement": self._before_acknowledgement,
            "after publishing": self._after_publishing,
        }[point]()

    def _strike(self) -> None:
        self.struck.set()
        raise Killed

    def _at_effect(self, *, after: bool) -> None:
        owner, effect = EFFECTIVE[self.name](self.house)
        real = getattr(owner, effect)

        def killing(*arguments: Any) -> Any:
            if self.struck.is_set():
                return real(*arguments)
            if after:
                real(*arguments)
            return self._strike()

        vars(owner)[effect] = killing

    def _is_news(self, type: str) -> bool:
        return not self.struck.is_set() and type == f"sitecrew.{self.event}.v1"

    def _after_commit(self) -> None:
        real = self.service.relay.hand_over

        def hand_over(rows: Sequence[Any], ours_until: datetime) -> None:
            if any(self._is_news(row.type) for row in rows):
                self._strike()
            real(list(rows), ours_until)

        object.__setattr__(self.service.database, "committed", hand_over)

    def _before_acknowledgement(self) -> None:
        (consumer,) = (consumer for worker, consumer in self.service.lanes if worker.queue == self.queue)
        vars(consumer)["settle"] = lambda deliveries: self._strike() if deliveries else None

    def _after_publishing(self) -> None:
        real = self.service.relay._publisher.publish

        def publish(messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
            outcomes = real(messages, timeout)
            if any(self._is_news(message.type) for message in messages):
                self._strike()
            return outcomes

        vars(self.service.relay._publisher)["publish"] = publish


def run_until_killed(house: House, killed: threading.Event) -> None:
    with suppress(Killed):
        house.run_until(killed.is_set)


def said_once(house: House, *types: str) -> list[Event[Any]]:
    """However often an event was published, it is one: its copies have its id. All that was said."""
    events = house.events()
    for type in types:
        ids = {event.id for event in events if event.type == f"sitecrew.{type}.v1"}
        assert len(ids) == 1, (type, ids)
    return events


# 1-4: a process ends


@pytest.mark.parametrize("name", [*EFFECTS])
@pytest.mark.parametrize(
    "point",
    ["before the effect", "after the effect", "after the commit", "before the acknowledgement", "after publishing"],
)
def test_a_service_that_is_killed_takes_up_its_work_where_it_lay(house: House, name: str, point: str) -> None:
    killer = Killer(house, name)
    killer.wait_at(point)
    house.order(traceparent=TRACE)
    run_until_killed(house, killer.struck)
    house.restart(killer.service)
    house.advance_until(house.mailed)
    events = said_once(house, "account.created", "install.completed", "mail.sent")
    assert {event.traceparent for event in events} == {TRACE}
    assert len(house.server.accounts) == 1
    assert house.server.calls <= 1 + (name == "intake")
    assert len(house.installer.installed) <= 1 + (name == "installing")
    assert len(house.smtp.sent) == 1 + ((name, point) == ("mailer", "after the effect"))
    assert len({letter["Message-ID"] for letter in house.smtp.sent}) == 1
    assert house.parked() == []


# 6, 7: the broker does not take what we have to say


@pytest.mark.parametrize("outcome", [Confirmation.REFUSED, Confirmation.UNROUTABLE, Confirmation.UNKNOWN])
def test_what_the_broker_refuses_for_a_while_is_said_when_it_takes_it(house: House, outcome: Confirmation) -> None:
    real = {service.store: service.relay._publisher.publish for service in house.services}
    for service in house.services:
        vars(service.relay._publisher)["publish"] = lambda messages, *_: [outcome] * len(messages)
    house.order()
    house.settle()
    assert (house.event_types(), len(house.server.accounts)) == ([], 1)
    for service in house.services:
        vars(service.relay._publisher)["publish"] = real[service.store]
    house.advance_until(house.mailed)
    said_once(house, "account.created", "install.completed", "mail.sent")


# 13: an order whose account, install or letter kills whoever works on it


class Poison(Killer):
    """Whatever is in the same process with the poisoned one dies with it."""

    def __init__(self, house: House, name: str, number: int) -> None:
        super().__init__(house, name)
        self.marks = (f"order-{number}", f"jo{number}@customer.example")
        self.kills = 0
        self._arm()

    def _arm(self) -> None:
        owner, effect = EFFECTIVE[self.name](self.house)
        real = getattr(owner, effect)

        def deadly(work: object, *more: object) -> Any:
            if any(mark in str(work) for mark in self.marks):
                self._strike()
            if self.struck.wait(0.02):
                raise Killed
            return real(work, *more)

        vars(owner)[effect] = deadly

    def run(self, reached: Callable[[], bool]) -> None:
        """Let the time go by; whenever the service is killed, it is started anew."""
        ends = self.house.clock.moment + timedelta(hours=6)
        while not reached():
            assert self.house.clock.moment < ends, "it does not come to that"
            self.house.run_periodic_tasks()
            self.house.pass_time(10)
            while self._moves():
                if self.struck.is_set():
                    self.kills += 1
                    self.house.restart(self.service)
                    self.struck.clear()
                    if self.name == "mailer":
                        self._arm()

    def _moves(self) -> bool:
        moved = sum(service.run_once() for service in self.house.services)
        return bool(moved or self.struck.is_set()) or not all(service.idle for service in self.house.services)


@pytest.mark.parametrize("name", [*EFFECTS])
def test_what_kills_its_workers_ends_as_failed_and_its_neighbours_are_served(house: House, name: str) -> None:
    poison = Poison(house, name, number=4)
    for number in range(1, 8):
        house.order(number)
    others = [number for number in range(1, 8) if number != 4]
    ends = {"intake": "account.failed", "installing": "install.failed", "mailer": "mail.failed"}[name]
    failed: list[Any] = []

    def reached() -> bool:
        failed.extend(event for event in house.events() if event.type == f"sitecrew.{ends}.v1")
        return bool(failed) and house.mailed(*others)

    poison.run(reached)
    assert {(event.subject, event.data.cause.code) for event in failed} == {("order-4", "worker_lost")}
    assert sum(not getattr(event.data, "domain_released", None) for event in failed) == 1
    assert poison.kills <= 9
    # A mailer that is killed between the SMTP server's yes and its record sends that letter again.
    assert len(house.smtp.sent) == 6 or name == "mailer"
    letters = {str(letter["To"]) for letter in house.smtp.sent}
    assert len(letters) == 6
    assert house.parked() == [], "the row says it all"


# 14: bytes that are no event

_ORDER = codec.encode(
    codec.envelope(
        OrderPlaced(
            order_id="order-x",
            site_type="wordpress",
            domain="x.example",
            customer={"name": "Jo", "email": "jo@customer.example"},
        ),
        id="x",
        source="/shop",
        subject="order-x",
    )
)
_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _with(path: str, value: object) -> bytes:
    """The order with one thing in it replaced."""
    document = json.loads(_ORDER)
    place = document
    *way, last = path.split(".")
    for step in way:
        place = place[step]
    place[last] = value
    return json.dumps(document).encode()


_PATHS = ["type", "id", "source", "subject", "time", "data", "data.order_id", "data.domain", "data.customer.email"]
_texts = st.text(max_size=300).filter(lambda text: len(text.encode(errors="ignore")) <= 255 and text.isprintable())
_junk = st.one_of(
    st.builds(_with, st.sampled_from(_PATHS), _json),
    st.binary(max_size=300),
    _json.map(lambda value: repr(value).encode(errors="replace")),
    st.integers(0, len(_ORDER)).map(lambda length: _ORDER[:length]),
    st.tuples(st.integers(0, len(_ORDER) - 1), st.binary(min_size=1, max_size=3)).map(
        lambda change: _ORDER[: change[0]] + change[1] + _ORDER[change[0] + 1 :]
    ),
    st.integers(1, 2000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.sampled_from(
        [b"", b"null", b"{}", b"[]", b"\xef\xbb\xbf{}", b'{"type": 1}', b'{"type": "a.b.v9"}', b"1" * 300_000]
    ),
)


def _is_event(body: bytes, content_type: str, headers: dict[str, str | int]) -> bool:
    with suppress(Malformed):
        codec.decode(body, content_type, headers)
        return True
    return False


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(_junk, min_size=1, max_size=4),
    content_type=st.sampled_from(["application/cloudevents+json", "text/plain", ""]) | _texts,
    type=_texts,
    headers=st.dictionaries(_texts, _texts | st.integers(-(2**63), 2**63 - 1), max_size=5),
)
def test_whatever_bytes_come_are_parked_with_the_field_and_the_service_goes_on(
    house: House, bodies: list[bytes], content_type: str, type: str, headers: dict[str, str | int]
) -> None:
    messages = [
        Message(ORDERS, "order.placed.v1", body, "theirs", type, content_type=content_type, headers=headers)
        for body in bodies
        if not _is_event(body, content_type, headers)
    ]
    assert set(house.broker.publisher().publish(messages)) <= {Confirmation.CONFIRMED}
    house.settle()
    parked = house.parked()
    assert sorted(delivery.body for delivery in parked) == sorted(message.body for message in messages)
    for delivery in parked:
        if len(delivery.body) > MAX_BYTES:
            assert parking.read(delivery).code == "too_large"
            continue
        assert delivery.headers["field"]
        assert str(delivery.headers["reason"]).startswith(f"{delivery.headers['field']}: ")
        assert (delivery.content_type, delivery.type) == (content_type, type)
        assert delivery.headers["original-message-id"] == "theirs"
    house.broker.remove(PARKING, [delivery.name for delivery in parked])
    assert house.broker.depth(INTAKE_ORDERS) == house.broker.depth(PARKING) == 0


@pytest.mark.parametrize(
    "properties",
    [
        {"headers": {f"h{number}": "x" * 1000 for number in range(65)}},
        {"headers": {"ce-type": "sitecrew.order.placed.v1", "a": "x" * 60_000, "b": 7}},
        {"type": "\x00" * 255, "content_type": "a\x00b"},
        {"message_id": "\U0001f600" * 63},
    ],
)
def test_what_hardly_fits_a_message_can_still_be_parked(house: House, properties: dict[str, Any]) -> None:
    house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", b"{", **properties)])
    house.settle()
    (parked,) = house.parked()
    assert parked.body == b"{"
    headers = properties.get("headers", {})
    assert {name for name in headers if name.startswith("ce-")} <= set(parked.headers)


@pytest.mark.parametrize("order_id", ["\0", "a\u0007b", "x" * 80, "\U0001f600" * 64, {"a": "\0"}, [], 7, " "])
def test_an_order_whose_id_is_illegible_is_rejected_by_its_field(house: House, order_id: object) -> None:
    house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", _with("data.order_id", order_id))])
    house.settle()
    assert house.parked()[0].headers["field"] == "data.order_id"
    (rejected,) = house.events()
    assert [error.field for error in rejected.data.errors] == ["data.order_id"]


def test_one_that_is_no_event_among_ten_orders_costs_the_others_nothing(house: House) -> None:
    for number in range(1, 10):
        house.order(number)
        if number == 4:
            house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", b"\xff\xfe")])
    house.settle()
    assert house.mailed(*range(1, 10))
    assert len(house.parked()) == 1


# 16, 17, 19, 20: too early, too late, twice, out of order


def _due_message(house: House) -> Message:
    """What the delayed exchange will bring, taken from what is said to those who watch."""
    (staged,) = [event for event in house.events() if event.type == "sitecrew.install.staged.v1"]
    return Message(DELIVER, destination(INSTALLER_DUE), codec.encode(staged))


def test_what_is_delivered_early_waits_until_it_is_due(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"settle_seconds": 600}})
    house.order()
    house.settle()
    house.broker.publisher().publish([_due_message(house)])
    house.tick()
    assert house.install().state == State.STAGED
    house.advance(599)
    house.tick()
    assert house.install().state == State.STAGED
    house.advance(2)
    house.tick()
    assert house.install().state == State.INSTALLED
    assert len(house.installer.installed) == len(house.smtp.sent) == 1


def test_what_a_relay_could_not_publish_before_it_was_due_goes_at_once(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"settle_seconds": 30}})
    killer = Killer(house, "intake")
    killer.wait_at("after the commit")
    house.order()
    run_until_killed(house, killer.struck)
    house.restart(house.intake)
    house.advance(3600)
    house.tick()
    assert house.install().state == State.INSTALLED


def test_duplicates_of_everything_hours_apart_change_nothing(house: House) -> None:
    spoken: list[Message] = []
    for service in house.services:
        real = service.relay._publisher.publish

        def publish(messages: Sequence[Message], timeout: float = 30.0, real: Any = real) -> list[Confirmation]:
            spoken.extend(messages)
            outcomes: list[Confirmation] = real(messages, timeout)
            return outcomes

        vars(service.relay._publisher)["publish"] = publish
    house.order()
    house.settle()
    said = house.event_types()
    assert house.mailed()
    for _ in range(3):
        house.advance(5 * 3600)
        house.order()
        house.order(id="the same under another id")
        house.broker.publisher().publish(spoken[:8])
        house.settle()
        house.tick()
        house.reconcile()
    assert {*house.event_types()} <= {*said, "order.known"}, "only what we have published once more ourselves"
    assert (house.server.calls, len(house.installer.installed), len(house.smtp.sent)) == (1, 1, 1)
    assert house.parked() == []


def test_a_cancel_that_overtakes_its_order_is_carried_out_after_it(house: House) -> None:
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    house.order(site_type="static")  # which is staged
    house.settle()
    house.advance(11)
    house.tick()
    assert house.install().state == State.CANCELLED
    assert house.static.installed == []


def test_a_cancel_that_overtakes_the_news_of_its_install_is_carried_out_after_it(tmp_path: Path) -> None:
    """They come by two queues. An installer that was away for hours may serve either first."""
    house = House(tmp_path)
    lanes, house.installing.lanes = house.installing.lanes, []
    house.order()
    house.settle()
    house.publish(OrderCancelled(order_id="order-1"))
    house.settle()
    house.clock.moment += timedelta(hours=3)
    house.installing.lanes = [lane for lane in lanes if lane[0].queue == "installer.commands"]
    house.settle()
    house.installing.lanes = lanes
    house.settle()
    house.advance_until(lambda: house.is_in(State.CANCELLED), minutes=120)
    assert house.installer.installed == []
    assert "command.refused" not in house.event_types()


def test_staff_are_told_at_once_that_there_is_no_such_install(house: House) -> None:
    house.publish(InstallCancel(install_id="mistyped-g1"))
    house.settle()
    assert house.event_types() == ["command.refused"]


def test_a_reinstall_is_not_refused_because_it_had_to_wait_for_us(house: House) -> None:
    """Both waited for hours; the order's account is still being created when the other is looked at."""
    house.order()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.clock.moment += timedelta(hours=3)
    house.settle()
    house.advance(31)
    assert house.install("order-1-g2").state == State.INSTALLED
    assert house.parked() == []


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(days=-400), None])
def test_what_waits_for_an_order_does_not_wait_for_ever_whatever_its_clock_says(
    house: House, ahead: timedelta | None
) -> None:
    time = house.clock.now() + ahead if ahead else None
    house.publish(OrderCancelled(order_id="never-placed"), time=time)
    house.advance_until(lambda: bool(house.parked()), minutes=30)
    assert house.parked()[0].headers["reason-code"] == "no_such_order"


def test_an_older_generation_is_never_put_over_a_newer_one(house: House) -> None:
    """It was at work when the newer one was asked for, and failed for a moment."""
    house.installer.meanwhile = gate = Gate()
    house.installer.failures = [failure("db_down")]
    house.order()
    house.run_until(gate.reached.is_set)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.run_until(lambda: house.is_in(State.STAGED, "order-1-g2"))
    gate.opened.set()
    house.advance_until(lambda: house.is_in(State.INSTALLED, "order-1-g2"))
    house.advance_until(lambda: house.is_in(State.CANCELLED), minutes=120)
    assert [job.generation for job in house.installer.installed] == [2]
    assert len(house.smtp.sent) == 1
    assert house.event_types().count("install.cancelled") == 1


def test_the_news_of_an_older_generation_may_come_after_that_of_a_newer(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.unfinished = "only the installer is at the new broker"
    house.order()
    lanes, house.installing.lanes = house.installing.lanes, []
    house.settle()
    first = _due_message(house)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    second = _due_message(house)
    house.installing.lanes = lanes
    house.broker = house._new_broker()[0]
    house.installing.reconnect()
    house.broker.publisher().publish([second, first])
    house.tick()
    assert [job.generation for job in house.installer.installed] == [2]
    assert house.install("order-1-g1").state == State.CANCELLED


def test_an_install_that_is_completed_twice_has_one_letter(house: House) -> None:
    house.order()
    house.settle()
    (completed,) = [event for event in house.events() if event.type == "sitecrew.install.completed.v1"]
    house.publish(completed.data)
    house.publish(completed.data)
    house.settle()
    assert len(house.smtp.sent) == 1
    assert house.install().mail_state == "sent"


# 22: the database is gone


@contextmanager
def database_fails(house: House, at: int, *, committed: bool) -> Iterator[list[int]]:
    """One transaction of any service, the `at`th from now, finds it gone: before or after the commit."""
    count = [0]

    def flaky(real: Callable[[], Any]) -> Callable[[], Any]:
        @contextmanager
        def transaction() -> Iterator[Connection]:
            count[0] += 1
            failing = count[0] == at
            with real() as connection:
                yield connection
                if failing and not committed:
                    raise StoreUnreachable("gone, on purpose")
            if failing:
                raise StoreUnreachable("gone before it had said that it has committed, on purpose")

        return transaction

    with pytest.MonkeyPatch.context() as patch:
        for service in house.services:
            patch.setattr(service.store, "transaction", flaky(service.store.transaction))
        yield count


@pytest.mark.parametrize("committed", [False, True])
def test_the_database_may_go_away_in_any_transaction_of_an_orders_life(house: House, committed: bool) -> None:
    number = failed = 0
    while number == failed:
        number += 1
        with database_fails(house, number, committed=committed) as count:
            house.order(number)
            ends = house.clock.moment + timedelta(hours=2)
            while not house.mailed(number):
                assert house.clock.moment < ends, f"transaction {number}: it does not come to that"
                with suppress(StoreUnreachable):
                    house.settle()
                    if not house.mailed(number):
                        house.advance(60)
                        house.reconcile()
        failed += count[0] >= number and number < 25
    assert number > 10, "an order's life has more transactions than that"
    assert len(house.server.accounts) == number
    assert len({job.install_id for job in house.installer.installed}) == number
    assert len(house.smtp.sent) == number
    completed = [event.subject for event in house.events() if event.type == "sitecrew.install.completed.v1"]
    assert len(completed) == number
    assert house.parked() == []


# 23: the mail server


@pytest.mark.parametrize("code", ["smtp_unreachable", "smtp_timeout", "smtp_temporary"])
def test_a_letter_that_the_mail_server_does_not_take_now_is_sent_later_and_once(house: House, code: str) -> None:
    house.smtp.failures = [failure(code) for _ in range(3)]
    house.order()
    house.advance_until(house.mailed)
    assert len(house.smtp.sent) == 1


def test_a_letter_that_was_cut_off_after_its_data_is_sent_again_as_the_same(house: House) -> None:
    real = house.welcoming._deliver

    def cut(message: Any) -> None:
        real(message)
        house.welcoming._deliver = real
        raise failure("smtp_interrupted")

    house.welcoming._deliver = cut
    house.order()
    house.advance_until(house.mailed)
    first, second = house.smtp.sent
    assert first["Message-ID"] == second["Message-ID"]
    said_once(house, "mail.sent")


def test_a_failed_letter_that_staff_resend_is_the_same_to_whoever_has_stored_it_already(house: House) -> None:
    real = house.welcoming._deliver
    answers = iter(
        [failure("smtp_interrupted", CauseKind.PERMANENT), None, failure("smtp_interrupted", CauseKind.PERMANENT)]
    )

    def answer(message: Any) -> None:
        real(message)
        if reason := next(answers, None):
            raise reason

    house.welcoming._deliver = answer
    house.order()
    house.settle()
    house.tick()
    for _ in range(3):
        house.publish(MailResend(install_id="order-1-g1"))
        house.settle()
    first, *others = (letter["Message-ID"] for letter in house.smtp.sent)
    assert others[0] == first, "the first has failed, as far as anybody knew"
    assert others[1] != first, "staff had one more sent"
    assert others[2] == others[1]


@pytest.mark.parametrize("kind", [CauseKind.PERMANENT, CauseKind.CONFIGURATION])
def test_a_letter_that_is_refused_for_good_is_told_once_with_its_cause(house: House, kind: CauseKind) -> None:
    house.smtp.failures = [failure("recipient_refused", kind)]
    house.order()
    house.settle()
    house.advance(7200)
    house.reconcile()
    assert house.install().mail_state == "failed"
    said_once(house, "mail.failed")
    assert house.smtp.sent == []


def test_attempts_at_a_letter_end_and_keep_their_pauses_even_if_it_is_asked_for_meanwhile(house: House) -> None:
    attempts: list[timedelta] = []

    def silent(_message: object) -> None:
        attempts.append(house.clock.now() - began)
        raise failure("smtp_timeout")

    house.welcoming._deliver = silent
    began = house.clock.now()
    house.order()
    house.advance_until(lambda: house.is_in(State.INSTALLED) and house.install().mail_state == "failed", minutes=600)
    assert len(attempts) == house.settings.mailer.max_attempts
    pauses = [after - before for before, after in pairwise(attempts)]
    for number, pause in enumerate(pauses):
        assert pause >= timedelta(seconds=30 * 2**number * 0.8) - timedelta(seconds=1)
    said_once(house, "mail.failed")


def second_mailer(house: House) -> tuple[Service, Welcoming]:
    """Another replica, on the same store and queues."""
    first = house.welcoming
    other = house.open_mailer()
    second, house.welcoming = house.welcoming, first
    return other, second


def test_a_letter_is_not_sent_twice_because_the_mail_server_is_slow(house: House) -> None:
    gate = Gate()
    real = house.welcoming._deliver

    def slow(message: Any) -> None:
        gate(message)
        real(message)

    house.welcoming._deliver = slow
    house.order()
    house.run_until(gate.reached.is_set)
    other, _ = second_mailer(house)
    for _ in range(12):
        house.welcoming.leases.renew(house.mailer.database)
        house.pass_time(10)
        recovery.wake_stale(other.database)
        other.run_once()
        house.broker.expire()
        other.run_once()
    assert other.idle
    gate.opened.set()
    house.services.append(other)
    house.settle()
    assert len(house.smtp.sent) == 1
    said_once(house, "mail.sent")


def test_a_sender_that_has_lost_its_letter_does_not_record_a_failure_over_its_successors_work(house: House) -> None:
    gates = [Gate(), Gate()]
    arrived = iter(gates)

    def slow_and_refused(message: Any) -> None:
        next(arrived)(message)
        raise failure("recipient_refused", CauseKind.PERMANENT)

    house.welcoming._deliver = slow_and_refused
    house.order()
    house.run_until(gates[0].reached.is_set)
    other, second = second_mailer(house)

    def slow_and_taken(message: Any) -> None:
        next(arrived)(message)
        house.smtp.send(message)

    second._deliver = slow_and_taken
    while other.idle:  # each wake-up goes to one of the two
        house.pass_time(40)
        recovery.wake_stale(other.database)
        other.run_once()
        house.broker.expire()
        other.run_once()

    def taken_over() -> bool:
        other.run_once()
        return gates[1].reached.is_set()

    until(taken_over, PATIENCE)
    gates[0].opened.set()
    house.run_until(lambda: house.mailer.idle)
    with house.mailer.store.reading() as connection:
        mail = listing.latest(connection, "order-1")
    assert mail is not None
    assert (mail.state, mail.attempt) == (MailState.SENDING, 2)
    gates[1].opened.set()
    house.services.append(other)
    house.settle()
    said = house.event_types()
    assert (said.count("mail.failed"), said.count("mail.sent")) == (0, 1)
    assert len(house.smtp.sent) == 1


# 25: told to stop


def test_a_service_that_is_told_to_stop_finishes_what_it_has_begun_and_renews_its_leases_meanwhile(
    house: House,
) -> None:
    house.unfinished = "the other services have ended before"
    house.installer.meanwhile = gate = Gate()
    house.services = [house.intake]
    house.installing.crash()
    for number in range(1, 4):
        house.order(number)
    house.settle()
    own, stop, renewed = house.installing, threading.Event(), threading.Semaphore(0)
    lane = Lane(INSTALLER_NOW, house.steps.due(), capacity=2, threads=2, leases=house.steps.leases)

    def renew() -> None:
        house.steps.leases.renew(own.database)
        renewed.release()

    service = MagicMock(lanes=lambda: [lane], loops=list, periodic=lambda: [Periodic("renew_leases", 0.01, renew)])
    broadcast = Broadcast(house.broker.publisher(), "installer", house.clock.now)
    running = threading.Thread(target=process._run, args=(own.parts, service, [], [], own.relay, broadcast, stop))
    running.start()
    assert gate.reached.wait(PATIENCE)
    stop.set()
    while renewed.acquire(blocking=False):
        pass
    for _ in range(3):
        assert renewed.acquire(timeout=PATIENCE), "its leases would end while it finishes"
    gate.opened.set()
    running.join(PATIENCE)
    assert not running.is_alive()
    states = sorted(
        house.install(f"order-{number}-g1").state for number in range(1, 4) if house.find(f"order-{number}-g1")
    )
    assert states == [State.INSTALLED, State.INSTALLED]
    assert house.broker.depth(INSTALLER_NOW) == 1
    assert house.event_types().count("install.completed") == 2, "and what was to be said of it is published"


@pytest.mark.parametrize("name", ["intake", "mailer"])
def test_a_service_that_is_told_to_stop_leaves_to_the_next_what_it_has_not_begun(house: House, name: str) -> None:
    owner, effect = EFFECTIVE[name](house)
    real, gate = getattr(owner, effect), Gate()

    def slow(given: Any) -> Any:
        gate(given)
        return real(given)

    vars(owner)[effect] = slow
    service: Service = getattr(house, name)
    worker, consumer = service.lanes[0]
    for number in range(1, 11):
        house.order(number)
    house.run_until(lambda: len(worker._in_flight) == 10)
    until(lambda: sum(item.phase == Phase.RUNNING for item in worker._in_flight.values()) == 4, PATIENCE)
    stopping = threading.Thread(target=worker.drain, args=(consumer,))
    stopping.start()
    until(lambda: len(worker._in_flight) == 4, PATIENCE)
    gate.opened.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive(), "as soon as its four threads have done what they had begun"
    service.relay.run_once(timeout=0)
    house.restart(service)
    house.settle()
    assert house.mailed(*range(1, 11))
    assert house.server.calls == len(house.smtp.sent) == 10


def test_a_periodic_task_that_fails_is_tried_again_and_ends_nothing() -> None:
    problems = iter([StoreUnreachable("gone"), LookupError("a bug")])
    enough = threading.Event()

    def chore() -> None:
        if problem := next(problems, None):
            raise problem
        enough.set()

    running = threading.Thread(target=Periodic("chore", 0.01, chore).run, args=(enough,))
    running.start()
    running.join(PATIENCE)
    assert enough.is_set()


@pytest.mark.parametrize(("name", "table"), [("intake", "orders"), ("installing", "installs"), ("mailer", "mails")])
def test_a_row_that_nobody_can_read_keeps_no_other_from_being_looked_after(
    tmp_path: Path, name: str, table: str
) -> None:
    house = House(tmp_path)
    house.smtp.failures += [failure("smtp_unreachable"), failure("smtp_unreachable")]
    house.order(1)
    house.order(2)
    house.settle()
    if name == "mailer":
        house.tick()
    service = getattr(house, name)

    def looks() -> list[int]:
        with service.store.reading() as connection:
            rows = connection.execute(text(f"SELECT check_at FROM {table} ORDER BY order_id"))
            return list(rows.scalars())

    with service.store.transaction() as connection:
        connection.execute(text(f"UPDATE {table} SET trace = '?' WHERE order_id = 'order-1'"))
    unreadable, before = looks()
    house.clock.moment += timedelta(hours=2)
    with capture_logs() as logs:
        service.run_periodic_tasks()
    unlooked, after = looks()
    assert unlooked == unreadable
    assert after > before
    assert {line["order_id"] for line in logs if line["event"] == "sweep.failed"} == {"order-1"}
