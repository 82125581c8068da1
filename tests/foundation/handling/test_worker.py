"""The loop around the handlers: what is settled when, and what one message may cost the others."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from structlog.testing import capture_logs

from foundation.broker import Consumer, Delivery, Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import EVENTS, ORDERS, PARKING
from foundation.config.queues import INTAKE_ORDERS, sitecrew
from foundation.errors import SitecrewError, StoreConflict, StoreUnreachable
from foundation.handling import worker as worker_module
from foundation.handling.outcomes import Done, Effect, Handler, Handlers, Outcome, Park, Retry
from foundation.handling.pool import Pool
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.handling.worker import Worker
from foundation.store import Store
from foundation.store import inbox as inbox_module
from foundation.store.inbox import inbox
from foundation.telemetry import tracing
from foundation.telemetry.metrics import Metrics
from foundation.testing.memory import MemoryBroker
from schemas.envelope import Event
from schemas.installs import CommandRefused
from schemas.orders import OrderCancelled
from schemas.values import Cause, CauseKind
from tests.support.house import PATIENCE, Clock, Killed, failure, new_database
from tests.support.rows import no_rows

CAUSE = Cause(code="on_purpose", kind=CauseKind.TRANSIENT, detail="on purpose", remedy="none")


class Acting:
    """A handler whose acts are noted, and wait for `go` where a test wants to hold them."""

    def __init__(self, *, held: bool = False) -> None:
        self.releasing = True
        self.ran: list[str] = []
        self.recorded: list[str] = []
        self.at_work: set[str] = set()
        self.together: list[set[str]] = []
        self.go = threading.Event()
        self._lock = threading.Lock()
        if not held:
            self.go.set()

    def __call__(self, _uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome | Effect:
        name = event.data.order_id
        return Effect(
            name,
            self.run,
            lambda _uow, name, _event, _result: self.record(name),
            lambda _uow, _name, _event, _cause: Done(),
            (lambda uow, _name, _event: Retry(uow.now, CAUSE)) if self.releasing else None,
        )

    def run(self, name: str) -> None:
        with self._lock:
            self.at_work.add(name)
            self.together.append(set(self.at_work))
        assert self.go.wait(PATIENCE)
        with self._lock:
            self.at_work.discard(name)
            self.ran.append(name)

    def record(self, name: str) -> Outcome:
        self.recorded.append(name)
        return Done()


def doing(
    run: Callable[[], Any],
    fail: Callable[[UnitOfWork, Cause], Outcome],
    record: Callable[[UnitOfWork, Any], Outcome] = lambda _uow, _result: Done(),
) -> Effect:
    """An effect that claims nothing."""
    return Effect(
        None,
        lambda _: run(),
        lambda uow, _, _event, result: record(uow, result),
        lambda uow, _, _event, cause: fail(uow, cause),
    )


class Lane:
    """One queue, its handler, and a store; `replica` makes a second worker on both."""

    def __init__(self, directory: Path, capacity: int = 10, most: int = 0) -> None:
        self.clock = Clock()
        self.capacity = capacity
        self.most = most
        self.broker = MemoryBroker(sitecrew(Ladder()), self.clock.now)
        (directory / "store.db").write_bytes(new_database())
        self.store = Store(f"sqlite:///{directory / 'store.db'}")
        self.relay = Relay(self.store, self.broker.publisher(), self.broker.topology, self.clock.now)
        self.held: list[Acting] = []
        self.handler: Handler = lambda _uow, _event: Done()
        self.open()

    def hold(self) -> Acting:
        """Acts that wait until the test lets them go."""
        self.handler = acting = Acting(held=True)
        self.held.append(acting)
        return acting

    def open(self) -> None:
        self.worker, self.consumer = self.replica()

    def replica(
        self, handler: Handler | None = None, threads: int = 0, metrics: Metrics | None = None
    ) -> tuple[Worker, Consumer]:
        database = Database(self.store, "test", self.clock.now, self.relay.hand_over, no_rows)
        handlers: Handlers = {OrderCancelled: handler or self._handle}
        size: dict[str, Any] = {"capacity": self.capacity, "most": self.most, "threads": threads or self.capacity}
        worker = Worker(INTAKE_ORDERS, handlers, database, **size, metrics=metrics)
        return worker, self.broker.consumer(INTAKE_ORDERS, self.capacity)

    def elsewhere(self, *order_ids: str) -> Consumer:
        """Sent, and handed out to another replica, which has room for no more."""
        self.consumer.close()
        replica = self.broker.consumer(INTAKE_ORDERS, len(order_ids))
        self.send(*order_ids)
        self.consumer = self.broker.consumer(INTAKE_ORDERS, self.capacity)
        return replica

    def _handle(self, uow: UnitOfWork, event: Event[Any]) -> Outcome | Effect:
        return self.handler(uow, event)

    def send(self, *order_ids: str, id: str | None = None) -> None:
        for order_id in order_ids:
            event = codec.envelope(
                OrderCancelled(order_id=order_id), id=id or f"id-{order_id}", source="/test", subject=order_id
            )
            self.send_bytes(codec.encode(event))

    def send_bytes(self, body: bytes, **properties: Any) -> None:
        self.broker.publisher().publish([Message(ORDERS, "order.cancelled.v1", body, **properties)])

    def turn(self, timeout: float = 0) -> int:
        return self.worker.run_once(self.consumer, timeout)

    def rest(self) -> None:
        """Until everything is handled and published."""
        self.until(lambda: not self.turn() and self.worker.idle)
        self.relay.run_once(timeout=0)

    def until(self, reached: Callable[[], object]) -> None:
        ends = monotonic() + PATIENCE
        while not reached():
            assert monotonic() < ends, "it does not come to that"

    def run_until(self, reached: Callable[[], object]) -> None:
        def turned() -> object:
            self.turn()
            return reached()

        self.until(turned)

    def kill(self) -> None:
        """Whatever was not settled is the broker's again, and somebody starts the service anew."""
        self.worker.close()
        self.consumer.close()
        self.open()

    def later(self, seconds: float) -> None:
        self.clock.moment += timedelta(seconds=seconds)
        self.broker.expire()

    def parked(self) -> list[Delivery]:
        return self.broker.browse(PARKING, 1000)

    def remembered(self) -> list[str]:
        with self.store.reading() as connection:
            return sorted(row.id for row in connection.execute(select(inbox.c.id)))


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    lane = Lane(tmp_path)
    with capture_logs():
        yield lane
    for acting in lane.held:
        acting.go.set()
    lane.kill()


@contextmanager
def store_fails(store: Store, *, after: int = 0, times: int = 1, committed: bool = False) -> Iterator[None]:
    """The database goes away in some transactions: before it has committed them, or just after."""
    real = store.transaction
    calls = iter(range(10_000))

    @contextmanager
    def transaction() -> Iterator[Connection]:
        failing = after <= next(calls) < after + times
        with real() as connection:
            yield connection
            if failing and not committed:
                raise StoreUnreachable("gone, on purpose")
        if failing:
            raise StoreUnreachable("gone before it said that it has committed, on purpose")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "transaction", transaction)
        yield


# What is settled when


def test_a_delivery_is_acknowledged_after_its_transaction_and_not_before(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_settling: list[list[str]] = []
    real = lane.consumer.settle

    def settle(deliveries: list[Delivery]) -> None:
        at_settling.append(lane.remembered())
        real(deliveries)

    monkeypatch.setattr(lane.consumer, "settle", settle)
    lane.send("a", "b")
    lane.turn()
    assert at_settling == [["id-a", "id-b"]]


def test_a_duplicate_changes_nothing_whether_it_comes_in_the_same_batch_or_hours_later(lane: Lane) -> None:
    lane.handler = acting = Acting()
    lane.send("a", "a")
    lane.rest()
    lane.later(5 * 3600)
    lane.send("a")
    lane.rest()
    assert acting.ran == ["a"]


def test_each_way_of_settling_is_counted_from_zero_so_that_the_first_is_seen_as_an_increase(lane: Lane) -> None:
    metrics = Metrics()
    lane.replica(metrics=metrics)
    (family,) = metrics.processed.collect()
    counted = {sample.labels["status"]: sample.value for sample in family.samples if sample.name.endswith("_total")}
    assert counted == {"done": 0, "duplicate": 0, "retry": 0, "parked": 0}


def test_events_of_two_sources_may_have_the_same_id(lane: Lane) -> None:
    lane.handler = acting = Acting()
    event = codec.envelope(OrderCancelled(order_id="b"), id="id-a", source="/another", subject="b")
    lane.send("a")
    lane.send_bytes(codec.encode(event))
    lane.rest()
    assert sorted(acting.ran) == ["a", "b"]


def test_a_copy_that_comes_while_the_act_runs_is_settled_with_the_first(lane: Lane) -> None:
    acting = lane.hold()
    lane.send("a")
    lane.turn()
    lane.send("a")
    lane.turn()
    lane.kill()
    waiting = len(lane.consumer.take(10, 0)) + (lane.broker.depth(INTAKE_ORDERS) or 0)
    assert waiting == 2, "as long as nothing is recorded, no copy may go"
    lane.kill()
    acting.go.set()
    lane.rest()
    assert acting.recorded == ["a"]


def test_a_copy_begins_no_second_act_while_the_first_runs(lane: Lane) -> None:
    acting = lane.hold()
    lane.send("a")
    lane.turn()
    lane.send("a")
    lane.turn()
    acting.go.set()
    lane.rest()
    assert acting.ran == ["a"]
    assert lane.broker.depth(INTAKE_ORDERS) == 0


def test_a_copy_that_another_replica_settles_meanwhile_does_not_undo_the_record(lane: Lane) -> None:
    acting = lane.hold()
    lane.send("a")
    lane.turn()
    other, consumer = lane.replica(lambda _uow, _event: Done())  # it sees in the row that somebody is at it
    lane.send("a", "a")  # one for each replica
    assert other.run_once(consumer, timeout=0) == 1
    acting.go.set()
    lane.rest()
    assert acting.recorded == ["a"]
    assert lane.parked() == []


def test_what_a_copy_does_is_undone_if_another_replica_was_faster(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look into the inbox before either has noted anything; only one may change something."""

    def says(uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome:
        uow.emit(CommandRefused(command_id=event.id, cause=CAUSE), event.subject)
        return Done()

    lane.handler = says
    watcher = lane.broker.watch(EVENTS, "#")
    lane.send("a")
    lane.rest()
    monkeypatch.setattr(inbox_module, "seen", _blind_once(inbox_module.seen))
    lane.send("a")
    lane.rest()
    assert len(watcher.take(10, 0)) == 1
    assert lane.parked() == []


def _blind_once(real: Callable[..., Any]) -> Callable[..., Any]:
    looks = iter(range(1000))
    return lambda *arguments: real(*arguments) if next(looks) else {}


# What one message may cost the others


def test_a_handlers_bug_parks_its_own_message_and_no_other(lane: Lane) -> None:
    def buggy(_uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome:
        if event.data.order_id == "bad":
            raise LookupError("canary-secret")
        return Done()

    lane.handler = buggy
    lane.send(*"abcd", "bad", *"efghi")
    lane.rest()
    (parked,) = lane.parked()
    assert parked.headers["reason-code"] == "unexpected"
    assert "LookupError" in str(parked.headers["reason"])
    assert b"canary-secret" not in repr(parked.headers).encode()
    assert len(lane.remembered()) == 9


def test_a_bug_in_recording_parks_its_own_message_and_the_neighbours_are_recorded(lane: Lane) -> None:
    acting = lane.hold()

    def record(name: str) -> Outcome:
        if name == "bad":
            raise LookupError
        acting.recorded.append(name)
        return Done()

    acting.record = record  # type: ignore[method-assign]
    lane.send("a", "bad", "b")
    lane.turn()
    acting.go.set()
    lane.until(lambda: len(acting.ran) == 3)
    lane.rest()
    assert len(lane.parked()) == 1
    assert lane.remembered() == ["id-a", "id-b"]
    assert lane.broker.depth(INTAKE_ORDERS) == 0


def test_one_that_is_no_event_among_ten_costs_the_others_nothing(lane: Lane) -> None:
    lane.handler = acting = Acting()
    lane.send(*"abcd")
    lane.send_bytes(b"{nonsense", message_id="theirs", content_type="text/plain", headers={"shop": "17"})
    lane.send(*"efghi")
    lane.turn()
    lane.rest()
    assert len(acting.recorded) == 9
    (parked,) = lane.parked()
    assert (parked.body, parked.content_type) == (b"{nonsense", "text/plain")
    assert parked.headers["original-message-id"] == "theirs"
    assert parked.headers["shop"] == "17"
    assert parked.headers["field"] == "body"


def test_what_the_inbox_cannot_even_be_asked_for_is_parked(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database may take some text for an error; the message must not be lost for it."""

    def chokes(
        _connection: Connection, _consumer: str, identities: list[inbox_module.Identity]
    ) -> dict[object, object]:
        if identities:
            raise ValueError("text fields cannot contain this")
        return {}

    monkeypatch.setattr(inbox_module, "seen", chokes)
    lane.send("a", id="bad id")
    lane.rest()
    assert len(lane.parked()) == 1
    assert lane.broker.depth(INTAKE_ORDERS) == 0


@pytest.mark.parametrize("field", ["id", "source", "type", "subject"])
def test_a_control_character_in_an_attribute_is_parked_with_the_field(lane: Lane, field: str) -> None:
    """CloudEvents forbids them, and PostgreSQL's text takes no NUL."""
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "sitecrew.order.cancelled.v1",
        "data": {"order_id": "a"},
    }
    lane.send_bytes(json.dumps({**event, field: "a\0b"}).encode())
    lane.rest()
    (parked,) = lane.parked()
    assert parked.headers["field"] == field


def test_what_is_parked_can_be_requeued(lane: Lane) -> None:
    lane.handler = lambda _uow, _event: Park(CAUSE)
    lane.send("a")
    lane.rest()
    (parked,) = lane.parked()
    assert parked.headers["parked-from"] == INTAKE_ORDERS
    lane.handler = acting = Acting()
    lane.send_bytes(parked.body)
    lane.rest()
    assert acting.recorded == ["a"]


# An act and what comes of it


def test_no_more_is_acted_on_at_a_time_than_the_capacity_allows(tmp_path: Path) -> None:
    lane = Lane(tmp_path, capacity=3)
    acting = lane.hold()
    lane.send(*"abcdefgh")
    lane.turn()
    lane.turn()
    lane.until(lambda: len(acting.at_work) == 3)
    assert lane.broker.depth(INTAKE_ORDERS) == 5
    acting.go.set()
    lane.rest()
    assert sorted(acting.recorded) == [*"abcdefgh"]
    assert max(map(len, acting.together)) == 3


@pytest.mark.parametrize(
    ("problem", "code"), [(failure("db_down"), "db_down"), (RuntimeError("canary-secret"), "unexpected")]
)
def test_a_failed_act_is_told_by_its_cause(lane: Lane, problem: Exception, code: str) -> None:
    causes: list[Cause] = []

    def fails() -> None:
        raise problem

    def note(_uow: UnitOfWork, cause: Cause) -> Outcome:
        causes.append(cause)
        return Done()

    lane.handler = lambda _uow, _event: doing(fails, note)
    lane.send("a")
    lane.rest()
    assert [cause.code for cause in causes] == [code]
    assert "canary-secret" not in causes[0].model_dump_json()


def test_a_claim_counts_only_when_it_is_certain(lane: Lane) -> None:
    claimed: list[str] = []

    def handler(_uow: UnitOfWork, _event: Event[OrderCancelled]) -> Effect:
        return Effect("it", claimed.append, lambda *_: Done(), lambda *_: Done())

    lane.handler = handler
    lane.send("a")
    with store_fails(lane.store), pytest.raises(StoreUnreachable):
        lane.turn()
    assert lane.worker.idle or not claimed
    lane.rest()
    assert claimed == ["it"]


def test_a_retry_comes_at_its_time_and_without_the_brokers_old_headers(lane: Lane) -> None:
    at = lane.clock.now() + timedelta(seconds=90)
    seen: list[Event[Any]] = []

    def handler(uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome:
        seen.append(event)
        return Retry(at, CAUSE) if uow.now < at else Done()

    lane.handler = handler
    lane.send_bytes(
        codec.encode(codec.envelope(OrderCancelled(order_id="a"), id="1", source="/t", subject="a")),
        headers={"x-death": "old"},
    )
    lane.rest()
    lane.later(89)
    lane.rest()
    assert len(seen) == 1
    lane.later(1)
    (again,) = lane.broker.browse(INTAKE_ORDERS, 10) or lane.consumer.take(10, 0)
    assert "x-death" not in again.headers
    lane.kill()
    lane.rest()
    assert [event.id for event in seen] == ["1", "1"]


@pytest.mark.parametrize("text", ["é" * 255, "\U0001f600" * 200, "\u202e" * 255])
def test_whatever_id_and_subject_an_event_has_its_retry_can_be_published(lane: Lane, text: str) -> None:
    at = lane.clock.now() + timedelta(seconds=5)
    lane.handler = lambda uow, _event: Retry(at, CAUSE) if uow.now < at else Done()
    event = codec.envelope(OrderCancelled(order_id="a"), id=text, source=text, subject=text)
    lane.send_bytes(codec.encode(event))
    lane.rest()
    lane.later(6)
    lane.rest()
    assert lane.remembered() == [text]


# When the database is gone


def test_nothing_is_lost_or_acknowledged_early_when_the_database_goes_away_in_a_turn(lane: Lane) -> None:
    lane.handler = acting = Acting()
    lane.send(*"abc")
    with store_fails(lane.store, times=2):
        for _ in range(2):
            with pytest.raises(StoreUnreachable):
                lane.turn()
    assert lane.broker.depth(INTAKE_ORDERS) == 0, "they are still ours"
    lane.rest()
    assert sorted(acting.recorded) == [*"abc"]


def test_an_act_is_not_done_twice_because_its_record_had_to_wait_for_the_database(lane: Lane) -> None:
    acting = lane.hold()
    lane.send("a")
    lane.turn()
    acting.go.set()
    lane.until(lambda: acting.ran)
    with store_fails(lane.store, times=3):
        for _ in range(3):
            with pytest.raises(StoreUnreachable):
                lane.until(lane.turn)
    lane.rest()
    assert acting.ran == ["a"]
    assert lane.remembered() == ["id-a"]


@pytest.mark.parametrize("held", [False, True])
def test_a_commit_whose_answer_was_lost_is_no_different_from_one_that_was_not(lane: Lane, held: bool) -> None:
    acting = lane.hold()
    lane.send("a", "b")
    if held:
        lane.turn()
        acting.go.set()
        lane.until(lambda: len(acting.ran) == 2)
    with store_fails(lane.store, committed=True), pytest.raises(StoreUnreachable):
        lane.until(lane.turn)
    acting.go.set()
    lane.rest()
    assert lane.remembered() == ["id-a", "id-b"]
    assert lane.parked() == []


def test_an_act_whose_claim_is_committed_is_begun_even_if_its_neighbour_finds_no_database(lane: Lane) -> None:
    acting = lane.hold()

    def handler(uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome | Effect:
        if event.data.order_id == "bad":
            raise LookupError
        return acting(uow, event)

    lane.handler = handler
    lane.send("a", "bad")
    # Together: fails for the sake of "bad". Alone: "a" is committed, "bad" fails, and can't be parked.
    with store_fails(lane.store, after=3), pytest.raises(StoreUnreachable):
        lane.turn()
    lane.until(lambda: acting.at_work == {"a"})
    acting.go.set()
    lane.rest()
    assert acting.ran == ["a"]
    assert len(lane.parked()) == 1


def test_a_deadlock_is_called_by_its_name_and_tried_again_without_a_pause(lane: Lane) -> None:
    stop, deadlocks = threading.Event(), [StoreConflict("in the way, on purpose")]

    def handler(_uow: UnitOfWork, _event: Event[OrderCancelled]) -> Outcome:
        if deadlocks:
            raise deadlocks.pop()
        stop.set()
        return Done()

    lane.handler = handler
    lane.send("a")
    with capture_logs() as lines:
        lane.worker.run(lane.consumer, stop)
    assert [line["event"] for line in lines if line["event"].startswith("store.")] == ["store.conflict"]
    assert lane.remembered() == ["id-a"]


# What kills its worker


def test_what_was_handed_out_before_is_handled_alone_after_its_neighbours(lane: Lane) -> None:
    replica = lane.elsewhere(*"abcd")
    acting = lane.hold()
    lane.send(*"efgh")
    lane.run_until(lambda: acting.at_work >= {*"efgh"})
    replica.close()
    lane.turn()
    acting.go.set()
    lane.rest()
    assert sorted(acting.recorded) == [*"abcdefgh"]
    assert all(len(group) == 1 for group in acting.together if group & {*"abcd"})


def test_nothing_new_is_begun_while_a_suspect_has_its_chance(lane: Lane) -> None:
    lane.hold()
    lane.send("a")
    lane.turn()
    lane.kill()
    acting = lane.hold()
    lane.until(lane.turn)
    lane.send("b", "c")
    lane.until(lambda: acting.at_work == {"a"})
    lane.turn()
    acting.go.set()
    lane.rest()
    assert acting.together[0] == {"a"}
    assert all("a" not in group for group in acting.together[1:])
    assert sorted(acting.recorded) == ["a", "b", "c"]


def test_a_suspect_does_not_wait_for_ever_for_an_act_that_hangs(lane: Lane) -> None:
    replica = lane.elsewhere("a")
    hanging = lane.hold()
    lane.send("b")
    lane.run_until(lambda: hanging.at_work == {"b"})
    replica.close()
    lane.turn()
    lane.worker._deadline = 0.0
    lane.run_until(lambda: hanging.at_work == {"a", "b"})


def test_an_act_past_its_time_is_counted_and_not_waited_for(lane: Lane) -> None:
    """A driver, a mail server or a program that never answers: somebody is to know, and the service can be stopped."""
    heartbeats = lane.worker._heartbeats
    lane.worker._deadline = 0.05
    lane.hold()
    lane.send("a")
    lane.turn()
    lane.until(lambda: heartbeats.overdue() == {INTAKE_ORDERS: 1})
    with pytest.raises(SitecrewError, match=r"work past its deadline: intake\.orders \(1\)"):
        heartbeats.require_alive()
    lane.worker.drain(lane.consumer)
    lane.worker.close()
    assert lane.broker.depth(INTAKE_ORDERS) == 1


def test_what_waits_for_a_thread_is_not_past_its_time(lane: Lane) -> None:
    lane.consumer.close()
    lane.worker, lane.consumer = lane.replica(threads=1)
    lane.worker._deadline = 0.05
    lane.hold()
    lane.send("a", "b", "c")
    lane.run_until(lambda: lane.worker.overdue() == 1)
    assert len(lane.worker._in_flight) == 3


@pytest.mark.parametrize(
    "ends", [SystemExit(0), SystemExit("done"), KeyboardInterrupt(), MemoryError(), RecursionError()]
)
def test_an_act_that_would_end_the_process_ends_as_failed(lane: Lane, ends: BaseException) -> None:
    """A plug-in that calls sys.exit(): its thread is gone, and its message would be in hand for ever."""
    causes: list[str] = []

    def run() -> None:
        raise ends

    def fail(_uow: UnitOfWork, cause: Cause) -> Outcome:
        causes.append(cause.code)
        return Done()

    lane.handler = lambda _uow, _event: doing(run, fail)
    lane.send("a")
    lane.rest()
    assert causes == ["unexpected"]


def test_what_fails_around_an_act_costs_no_outcome(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector of spans that raises, before the act or after it."""
    causes: list[str] = []

    @contextmanager
    def broken(_event: object, _queue: str, phase: str) -> Iterator[None]:
        if phase == "act" and not causes:
            raise RuntimeError("no span")
        yield
        if phase == "act":
            raise RuntimeError("no end of a span")

    def fail(_uow: UnitOfWork, cause: Cause) -> Outcome:
        causes.append(cause.code)
        return Done()

    def record(_uow: UnitOfWork, result: str) -> Outcome:
        causes.append(result)
        return Done()

    monkeypatch.setattr(tracing, "handling", broken)
    lane.handler = lambda _uow, _event: doing(lambda: "done", fail, record)
    lane.send("a")
    lane.rest()
    lane.send("b")
    lane.rest()
    assert causes == ["unexpected", "done"]


def test_threads_are_as_many_as_are_needed_and_survive_their_work() -> None:
    done, go, begun = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)

    def work(number: int) -> None:
        if number < 0:
            begun.release()
            go.wait(PATIENCE)
        done.release()
        raise Killed

    pool = Pool(3, "pool", work)
    for number in range(1, 51):
        pool.submit(number)
    pool.employ(2)
    for _ in range(50):
        assert done.acquire(timeout=PATIENCE)
    assert pool._started == 2
    for number in range(-9, 0):
        pool.submit(number)
    pool.employ(9)
    for _ in range(3):
        assert begun.acquire(timeout=PATIENCE)
    assert pool.take_back() == [*range(-6, 0)]
    pool.close()
    go.set()
    for _ in range(3):
        assert done.acquire(timeout=PATIENCE)
    assert not done.acquire(timeout=0.05)


def test_a_message_that_kills_its_worker_is_parked_and_its_neighbours_are_done(lane: Lane) -> None:
    done: list[str] = []

    def handler(_uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome:
        if event.data.order_id == "poison":
            raise Killed
        done.append(event.data.order_id)
        return Done()

    lane.handler = handler
    lane.send("poison", *"abcdefghi")
    for _ in range(25):
        try:
            lane.rest()
        except Killed:
            lane.kill()
    assert sorted(set(done)) == [*"abcdefghi"]
    assert len(lane.remembered()) == 9
    (parked,) = lane.parked()
    assert codec.decode(parked.body).data.order_id == "poison"


def test_a_suspect_that_has_to_wait_is_still_one_when_it_comes_again(lane: Lane) -> None:
    lane.hold()
    lane.send("a", "b")
    lane.turn()
    lane.kill()
    acting, at = lane.hold(), lane.clock.now() + timedelta(seconds=30)
    lane.handler = lambda uow, event: acting(uow, event) if uow.now >= at else Retry(at, CAUSE)
    lane.rest()
    lane.later(30)
    lane.turn()
    lane.turn()
    lane.until(lambda: acting.at_work)
    assert len(acting.at_work) == 1
    acting.go.set()
    lane.rest()
    assert sorted(acting.recorded) == ["a", "b"]


def test_whoever_failed_and_lived_is_no_suspect_any_more(lane: Lane) -> None:
    lane.hold()
    lane.send("a", "b")
    lane.turn()
    lane.kill()
    acting, at = lane.hold(), lane.clock.now() + timedelta(seconds=30)

    def fails() -> None:
        raise failure("db_down")

    def handler(uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome | Effect:
        again = doing(fails, lambda _uow, cause: Retry(at, cause))
        return acting(uow, event) if uow.now >= at else again

    lane.handler = handler
    lane.rest()
    lane.later(30)
    lane.turn()
    lane.until(lambda: acting.at_work == {"a", "b"})


# The end


class Hurried:
    """A worker of two threads that has found its effects to be quick. Its time stands still but for `seconds`."""

    def __init__(self, lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(worker_module, "monotonic", lambda: self.seconds)
        self.lane = lane
        lane.handler = Acting()
        lane.send(*(f"quick-{number}" for number in range(60)))
        lane.rest()

    def claim(self, number: int) -> Acting:
        """So many that wait for a test."""
        acting = self.lane.hold()
        self.lane.send(*(f"held-{number}" for number in range(number)))
        self.lane.run_until(lambda: self.lane.broker.depth(INTAKE_ORDERS) == 0 and len(acting.at_work) == 1)
        return acting


def test_where_effects_are_quick_many_are_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane(tmp_path, capacity=2, most=20)
    acting = Hurried(lane, monkeypatch).claim(20)
    acting.go.set()
    lane.rest()
    assert len(acting.recorded) == 20
    lane.kill()


def test_one_that_turns_out_slow_has_those_behind_it_given_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane(tmp_path, capacity=2, most=20)
    hurried = Hurried(lane, monkeypatch)
    acting = hurried.claim(20)
    hurried.seconds += 5
    lane.run_until(lambda: len(lane.worker._in_flight) == 1)
    lane.relay.run_once(timeout=0)
    others = Acting()
    other, consumer = lane.replica(others)
    lane.until(lambda: not other.run_once(consumer, 0.1) and len(others.recorded) == 18)
    acting.go.set()
    lane.rest()
    assert len(acting.recorded) == 2
    other.close()
    lane.kill()


def test_where_effects_are_slow_no_more_are_in_hand_than_threads(tmp_path: Path) -> None:
    lane = Lane(tmp_path, capacity=2, most=20)
    acting = lane.hold()
    lane.send(*(f"held-{number}" for number in range(20)))
    lane.run_until(lambda: len(acting.at_work) == 2)
    assert lane.turn() == 0
    assert lane.broker.depth(INTAKE_ORDERS) == 18
    acting.go.set()
    lane.rest()
    lane.kill()


def test_draining_finishes_what_is_begun_and_gives_the_rest_back(tmp_path: Path) -> None:
    lane = Lane(tmp_path, capacity=2)
    acting = lane.hold()
    lane.send(*"abcde")
    stop = threading.Event()
    running = threading.Thread(target=lane.worker.run, args=(lane.consumer, stop))
    running.start()
    lane.until(lambda: len(acting.at_work) == 2)
    stop.set()
    acting.go.set()
    running.join(PATIENCE)
    assert not running.is_alive()
    assert len(acting.recorded) == len(lane.remembered()) == 2
    assert lane.broker.depth(INTAKE_ORDERS) == 3


@pytest.mark.parametrize("releasing", [True, False])
def test_draining_gives_back_what_has_no_thread_yet_if_it_can_be_given_back(lane: Lane, releasing: bool) -> None:
    acting = lane.hold()
    acting.releasing = releasing
    worker, consumer = lane.replica(threads=1)
    lane.consumer.close()
    lane.send(*"abcde")
    lane.until(lambda: worker.run_once(consumer, 0) or acting.at_work)
    lane.until(lambda: acting.at_work == {"a"})
    draining = threading.Thread(target=worker.drain, args=(consumer,))
    draining.start()
    lane.until(lambda: not releasing or not lane.relay._handed.empty())
    acting.go.set()
    draining.join(PATIENCE)
    assert not draining.is_alive()
    assert acting.recorded == (["a"] if releasing else [*"abcde"])
    lane.relay.run_once(timeout=0)
    lane.open()
    lane.rest()
    assert sorted(acting.recorded) == [*"abcde"], "and another worker does it"


def test_draining_waits_for_what_is_running(lane: Lane) -> None:
    acting = lane.hold()
    lane.send("a")
    lane.turn()
    lane.until(lambda: acting.at_work)
    draining = threading.Thread(target=lane.worker.drain, args=(lane.consumer,))
    draining.start()
    draining.join(0.2)
    assert draining.is_alive()
    acting.go.set()
    draining.join(PATIENCE)
    assert acting.recorded == ["a"]


def test_draining_waits_for_the_database_rather_than_forget_what_was_done(lane: Lane) -> None:
    acting = lane.hold()
    lane.send("a")
    lane.turn()
    lane.until(lambda: acting.at_work)
    acting.go.set()
    with store_fails(lane.store):
        lane.worker.drain(lane.consumer)
    assert lane.remembered() == ["id-a"]
    with lane.store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(inbox)).scalar_one() == 1
