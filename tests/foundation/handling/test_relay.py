"""The relay: what was decided is published, whatever the broker and the database are doing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from structlog.testing import capture_logs

from foundation.broker import Confirmation, Message, Publisher, codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import EVENTS
from foundation.config.queues import INSTALLER_DUE, sitecrew
from foundation.errors import BrokerUnreachable, StoreUnreachable
from foundation.handling import relay as relay_module
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.store import Store, outbox
from foundation.store.outbox import OutboxMessage
from foundation.testing.memory import MemoryBroker
from schemas.accounts import AccountFailed
from schemas.values import Cause, CauseKind
from tests.support.house import PATIENCE, Clock, new_database
from tests.support.rows import no_rows

LADDER = Ladder(levels=6)
"""It reaches 63 seconds."""
CAUSE = Cause(code="on_purpose", kind=CauseKind.TRANSIENT, detail="on purpose", remedy="none")


class Stubborn:
    """A publisher whose broker answers as told, whether or not the messages arrive."""

    def __init__(self, real: Publisher) -> None:
        self.real = real
        self.answers: list[Confirmation] = []
        self.arrives = False

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        if not self.answers or not messages:
            return self.real.publish(messages, timeout)
        if self.arrives:
            self.real.publish(messages, timeout)
        return [self.answers.pop(0)] * len(messages)

    def close(self) -> None:
        self.real.close()


class Office:
    """A store with an outbox, and a broker to empty it into."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(sitecrew(LADDER), self.clock.now)
        self.watcher = self.broker.watch(EVENTS, "#")
        (directory / "store.db").write_bytes(new_database())
        self.url = f"sqlite:///{directory / 'store.db'}"
        self.store = Store(self.url)
        self.publisher = Stubborn(self.broker.publisher())
        self.relay = self.open()

    def open(self, store: Store | None = None) -> Relay:
        return Relay(store or self.store, self.publisher, self.broker.topology, self.clock.now)

    def transaction(self, relay: Relay | None = None) -> AbstractContextManager[UnitOfWork]:
        """Without a relay it is a process that ends before it has handed over what it said."""
        hand_over = relay.hand_over if relay else lambda *_: None
        return Database(self.store, "test", self.clock.now, hand_over, no_rows).begin()

    def say(self, *order_ids: str, relay: Relay | None = None) -> None:
        with self.transaction(relay) as uow:
            for order_id in order_ids:
                uow.emit(AccountFailed(order_id=order_id, cause=CAUSE), order_id)

    def later(self, seconds: float) -> None:
        self.clock.moment += timedelta(seconds=seconds)
        self.broker.expire()

    def heard(self) -> list[str]:
        return [codec.decode(delivery.body).data.order_id for delivery in self.watcher.take(10_000, 0)]

    def backlog(self) -> int:
        with self.store.reading() as connection:
            return outbox.backlog(connection)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with capture_logs():
        yield Office(tmp_path)


def until(reached: Callable[[], object]) -> None:
    ends = monotonic() + PATIENCE
    while not reached():
        assert monotonic() < ends, "it does not come to that"


def test_what_is_handed_over_is_published_at_once_in_its_order_and_forgotten(office: Office) -> None:
    office.say("a", "b", relay=office.relay)
    office.say("c", relay=office.relay)
    assert office.relay.run_once(timeout=0) == 3
    assert office.heard() == ["a", "b", "c"]
    assert office.backlog() == 0


def test_what_a_transaction_that_failed_wanted_to_say_is_never_said(office: Office) -> None:
    with suppress(LookupError), office.transaction(office.relay) as uow:
        uow.emit(AccountFailed(order_id="a", cause=CAUSE), "a")
        raise LookupError
    office.later(60)
    assert office.relay.run_once(timeout=0) == office.relay.sweep() == 0


def test_what_a_crash_left_between_commit_and_publish_is_swept_up_when_it_is_nobodys_any_more(office: Office) -> None:
    office.say("a")
    assert office.relay.sweep() == 0, "whoever wrote it may be publishing it just now"
    office.later(16)
    assert office.relay.sweep() == 1
    assert office.heard() == ["a"]


def test_after_a_crash_between_publish_and_forgetting_the_same_message_is_published_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.say("a", relay=office.relay)
    with monkeypatch.context() as patch:
        patch.setattr(office.store, "transaction", _gone)
        with pytest.raises(StoreUnreachable):
            office.relay.run_once(timeout=0)
    office.later(16)
    assert office.open().sweep() == 1
    first, second = office.watcher.take(10, 0)
    assert (first.message_id, first.body) == (second.message_id, second.body), "so its receivers know it"
    assert office.backlog() == 0


def _gone() -> AbstractContextManager[object]:
    raise StoreUnreachable("gone, on purpose")


@pytest.mark.parametrize("outcome", [Confirmation.REFUSED, Confirmation.UNROUTABLE, Confirmation.UNKNOWN])
def test_what_the_broker_did_not_take_is_kept_and_published_later(office: Office, outcome: Confirmation) -> None:
    office.publisher.answers = [outcome, outcome]
    office.say("a", relay=office.relay)
    office.relay.run_once(timeout=0)
    assert office.relay.sweep() == 0, "not at once: that would be a busy loop"
    office.later(11)
    assert office.relay.sweep() == 1
    assert (office.heard(), office.backlog()) == ([], 1)
    office.later(11)
    office.relay.sweep()
    assert (office.heard(), office.backlog()) == (["a"], 0)


def test_what_finds_no_queue_has_the_topology_declared_for_its_next_try(office: Office) -> None:
    declared: list[str] = []

    def declare() -> bool:
        declared.append("topology")
        raise BrokerUnreachable("gone, on purpose")

    office.publisher.answers = [Confirmation.REFUSED, Confirmation.UNROUTABLE]
    relay = Relay(office.store, office.publisher, office.broker.topology, office.clock.now, declare=declare)
    office.say("a", relay=relay)
    relay.run_once(timeout=0)
    assert declared == []
    office.later(11)
    relay.sweep()
    assert declared == ["topology"]
    assert office.backlog() == 1


def test_what_finds_no_queue_where_only_an_administrator_declares_is_kept_and_says_who_must_act(office: Office) -> None:
    office.publisher.answers = [Confirmation.UNROUTABLE]
    relay = Relay(office.store, office.publisher, office.broker.topology, office.clock.now, declare=lambda: False)
    office.say("a", relay=relay)
    with capture_logs() as lines:
        relay.run_once(timeout=0)
    [said] = [line["reason"] for line in lines if line["event"] == "topology.not_declared"]
    assert "an administrator must run `sitecrew topology declare`" in said
    assert office.backlog() == 1


def test_a_sweep_does_not_try_them_all_on_a_broker_that_takes_none(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_BATCH", 2)
    office.publisher.answers = [Confirmation.UNKNOWN]
    office.say("a", "b", "c")
    office.later(16)
    with capture_logs() as lines:
        assert office.relay.sweep() == 2
    assert [(line["event"], line["messages"]) for line in lines] == [("outbox.kept", 2)]
    office.later(11)
    assert office.relay.sweep() == 3
    assert sorted(office.heard()) == ["a", "b", "c"]


def test_a_message_that_can_never_be_sent_holds_nobody_up(office: Office) -> None:
    with office.transaction(office.relay) as uow:
        uow.outbox.append(OutboxMessage("no such exchange", "key", "1", "type", "", "text/plain", b"x"))
        uow.emit(AccountFailed(order_id="a", cause=CAUSE), "a")
    office.relay.run_once(timeout=0)
    assert (office.heard(), office.backlog()) == (["a"], 1)


def test_an_event_that_only_watchers_care_for_is_not_missed_when_nobody_watches(office: Office) -> None:
    office.watcher.close()
    office.say("a", relay=office.relay)
    office.relay.run_once(timeout=0)
    assert office.backlog() == 0


# Those that are due later


def _due(office: Office, seconds: float) -> None:
    with office.transaction(office.relay) as uow:
        event = uow.emit(AccountFailed(order_id="a", cause=CAUSE), "a")
        uow.deliver(event, INSTALLER_DUE, uow.now + timedelta(seconds=seconds))


def test_what_is_due_later_comes_then_and_not_before(office: Office) -> None:
    _due(office, 40)
    office.relay.run_once(timeout=0)
    office.later(39)
    assert office.broker.depth(INSTALLER_DUE) == 0
    office.later(1)
    assert office.broker.depth(INSTALLER_DUE) == 1


def test_the_delay_is_counted_from_publishing_so_what_waited_too_long_goes_at_once(office: Office) -> None:
    _due(office, 40)
    office.later(30)
    office.relay.sweep()
    office.later(10)
    assert office.broker.depth(INSTALLER_DUE) == 1
    _due(office, 40)
    office.later(100)
    office.open().sweep()
    assert office.broker.depth(INSTALLER_DUE) == 2


def test_what_is_due_beyond_the_ladders_reach_waits_in_the_outbox_and_comes_in_time(office: Office) -> None:
    _due(office, 200)
    office.relay.run_once(timeout=0)
    office.later(136)
    assert office.relay.sweep() == 0
    assert office.backlog() == 1
    office.later(2)
    assert office.relay.sweep() == 1
    assert office.backlog() == 0
    office.later(61)
    assert office.broker.depth(INSTALLER_DUE) == 0
    office.later(1)
    assert office.broker.depth(INSTALLER_DUE) == 1


# Several relays, and one that runs


def test_eight_relays_publish_each_message_once(office: Office) -> None:
    for _ in range(40):
        office.say(*[f"o{number}" for number in range(10)])
    office.later(60)
    stores = [Store(office.url) for _ in range(8)]
    start = threading.Barrier(8)

    def sweep(store: Store) -> None:
        start.wait(PATIENCE)
        office.open(store).sweep()

    threads = [threading.Thread(target=sweep, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(office.heard()) == 400
    assert office.backlog() == 0


def test_what_waited_behind_a_slow_broker_is_left_to_whoever_has_swept_it_up(office: Office) -> None:
    office.say("a", relay=office.relay)
    office.later(16)
    office.open().sweep()
    office.relay.run_once(timeout=0)
    assert office.heard() == ["a"]


@pytest.fixture
def running(office: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The relay at work in its thread."""
    monkeypatch.setattr(relay_module, "_SWEEP", 0.2)
    stop = threading.Event()
    thread = threading.Thread(target=office.relay.run, args=(stop,))
    thread.start()
    yield
    stop.set()
    office.relay.interrupt()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.usefixtures("running")
def test_a_relay_that_is_never_idle_sweeps_all_the_same(office: Office) -> None:
    heard: list[str] = []

    def busy() -> bool:
        office.say("busy", relay=office.relay)
        heard.extend(office.heard())
        return "left" in heard

    until(lambda: busy() or heard)  # its first sweep is over
    office.say("left")
    office.later(16)
    until(busy)


@pytest.mark.usefixtures("running")
def test_a_relay_survives_a_database_that_is_gone_for_a_while(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def gone() -> AbstractContextManager[object]:
        failed.set()
        return _gone()

    with monkeypatch.context() as patch:
        patch.setattr(office.store, "transaction", gone)
        assert failed.wait(PATIENCE)
    office.say("a")
    office.later(16)
    until(lambda: office.heard() == ["a"])


def test_a_database_that_is_gone_at_the_start_does_not_end_the_relay(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def gone() -> AbstractContextManager[object]:
        stop.set()
        return _gone()

    monkeypatch.setattr(office.store, "transaction", gone)
    office.relay.run(stop)


def test_a_relay_that_is_told_to_stop_publishes_what_it_was_handed(office: Office) -> None:
    office.say("a", relay=office.relay)
    stop = threading.Event()
    stop.set()
    office.relay.run(stop)
    assert office.heard() == ["a"]
