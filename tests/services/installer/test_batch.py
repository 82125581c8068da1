"""The timer: when it ticks, how long it works, and what it leaves behind."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from foundation.broker import Consumer, Delivery, Message, codec
from foundation.broker.delay import DELIVER, Ladder, destination
from foundation.broker.turns import Turns
from foundation.config.queues import INSTALLER_DUE, INSTALLER_DUE_HIGH, INSTALLER_DUE_LOW, sitecrew
from foundation.config.settings import Timer
from foundation.errors import BrokerUnreachable, ConfigurationError, StoreUnreachable
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome
from foundation.handling.unit_of_work import Database, UnitOfWork, new_id
from foundation.handling.worker import Worker
from foundation.store import Store
from foundation.telemetry.health import Heartbeats
from foundation.testing.memory import MemoryBroker
from schemas.envelope import Event
from schemas.orders import OrderCancelled
from services.installer import batch as batch_module
from services.installer.batch import Batches
from tests.support.house import PATIENCE, Clock, new_database
from tests.support.rows import no_rows

CONCURRENCY = 2


class Station:
    """A queue of what is due, and a timer over it."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(sitecrew(Ladder()), self.clock.now)
        (directory / "store.db").write_bytes(new_database())
        database = Database(
            Store(f"sqlite:///{directory / 'store.db'}"), "test", self.clock.now, lambda *_: None, no_rows
        )
        self.done: list[str] = []
        self.handler: Callable[[UnitOfWork, Event[OrderCancelled]], Outcome | Effect] = self.note
        handlers: Handlers = {OrderCancelled: self.handle}
        self.heartbeats = Heartbeats()
        self.turns = Turns(INSTALLER_DUE, more=(INSTALLER_DUE_HIGH,), less=(INSTALLER_DUE_LOW,))
        self.worker = Worker(
            INSTALLER_DUE, handlers, database, capacity=CONCURRENCY, threads=CONCURRENCY, heartbeats=self.heartbeats
        )
        self.opened = 0
        self.stop = threading.Event()
        self.is_paused: Callable[[], bool] = lambda: False

    def handle(self, uow: UnitOfWork, event: Event[Any]) -> Outcome | Effect:
        return self.handler(uow, event)

    def note(self, _uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome:
        self.done.append(event.data.order_id)
        return Done()

    def acting(self, act: Callable[[], object]) -> None:
        """From now on, each message takes an act."""

        self.handler = lambda _uow, _event: Effect(
            None, lambda _: act(), lambda uow, _, event, _result: self.note(uow, event), lambda *_: Done()
        )

    def batches(self, most: int = 0, **timer: Any) -> Batches:
        is_paused = self.is_paused
        return Batches(
            Timer(**timer), self.worker, self.open, self.depth, self.clock.now, is_paused=is_paused, most=most
        )

    def open(self) -> Consumer:
        self.opened += 1
        return self.broker.consumer(self.turns, CONCURRENCY)

    def depth(self) -> int:
        return sum(self.broker.depths(self.turns.queues).values())

    def put(self, *names: str, queue: str = INSTALLER_DUE) -> None:
        for name in names:
            event = codec.envelope(OrderCancelled(order_id=name), id=new_id(), source="/test", subject=name)
            message = Message(DELIVER, destination(queue), codec.encode(event))
            self.broker.publisher().publish([message])


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    monkeypatch.setattr(batch_module, "_DRY", 0.01)
    with capture_logs():
        station = Station(tmp_path)
        yield station
    station.worker.close()


# One batch


def test_a_batch_works_until_the_queue_is_dry_and_then_holds_nothing(station: Station) -> None:
    station.put(*"abcde")
    assert station.batches().run_once(station.stop) >= 5
    assert sorted(station.done) == [*"abcde"]
    station.put("f")
    assert station.depth() == 1, "between ticks nobody takes anything"


def test_an_empty_queue_ends_a_batch_at_once(station: Station) -> None:
    assert station.batches().run_once(station.stop) == 0


def test_what_comes_while_a_batch_works_is_part_of_it(station: Station) -> None:
    more = iter("bcd")
    station.acting(lambda: station.put(*(name for name in [next(more, "")] if name)))
    station.put("a")
    station.batches().run_once(station.stop)
    assert station.done == [*"abcd"]


def test_when_the_time_is_up_what_is_begun_is_finished_and_the_rest_waits_for_the_next_tick(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    time_is_up, drain = threading.Event(), station.worker.drain

    def draining(consumer: Consumer) -> None:
        time_is_up.set()
        drain(consumer)

    monkeypatch.setattr(station.worker, "drain", draining)
    station.acting(lambda: time_is_up.wait(PATIENCE))
    station.put(*"abcde")
    station.batches(budget_seconds=1).run_once(station.stop)
    assert len(station.done) == CONCURRENCY
    assert station.depth() == 3
    assert station.heartbeats.ages() == {}, "between ticks there is no loop that seems to stand still"


def test_being_told_to_stop_cuts_a_batch_short_and_loses_nothing(station: Station) -> None:
    station.acting(station.stop.set)
    station.put(*"abcde")
    station.batches().run_once(station.stop)
    assert 1 <= len(station.done) <= CONCURRENCY
    assert len(station.done) + station.depth() == 5


@pytest.mark.parametrize("hanging", [1, CONCURRENCY])
def test_an_act_that_hangs_is_told_once_and_later_batches_do_not_wait_for_it(station: Station, hanging: int) -> None:
    station.worker._deadline = 0.05
    never = threading.Event()
    station.acting(never.wait)
    station.put(*(f"hangs-{number}" for number in range(hanging)))
    batches = station.batches(budget_seconds=5)
    with capture_logs() as logs:
        batches.run_once(station.stop)
        station.handler = station.note
        began = monotonic()
        for _ in range(3):
            station.put("next")
            batches.run_once(station.stop)
        assert monotonic() - began < 3 * 5, "it waits for what hangs"
    assert [line["event"] for line in logs].count("act.abandoned") == hanging
    never.set()


def test_a_message_that_was_handed_out_but_has_not_arrived_is_waited_for(station: Station) -> None:
    """The depth of a queue does not count it, so a depth of none does not mean that none is left."""

    class Slow:
        """Its first deliveries are on their way while it is asked."""

        def __init__(self, real: Consumer) -> None:
            self.real = real
            self.interrupt, self.allow, self.close = real.interrupt, real.allow, real.close
            self.cease = real.cease
            self.settle, self.reject = real.settle, real.reject
            self.asked = 0

        def take(self, limit: int, timeout: float) -> list[Delivery]:
            self.asked += 1
            return self.real.take(limit, timeout) if self.asked > 1 else []

    station.put("a")
    timer = Batches(Timer(), station.worker, lambda: Slow(station.open()), station.depth, station.clock.now)
    timer.run_once(station.stop)
    assert station.done == ["a"]


# Priorities


def test_one_of_high_priority_overtakes_a_thousand_that_wait_and_these_keep_their_order(station: Station) -> None:
    names = [f"n{number}" for number in range(1000)]
    station.put(*names)
    station.put("urgent", queue=INSTALLER_DUE_HIGH)
    station.batches(most=10).run_once(station.stop)
    assert "urgent" in station.done[: CONCURRENCY + 1]
    assert [name for name in station.done if name != "urgent"] == names[:9]


def test_while_urgent_ones_keep_coming_none_of_the_others_waits_for_ever(station: Station) -> None:
    station.put(*"abc")
    station.put(*"xyz", queue=INSTALLER_DUE_LOW)
    batches, urgent = station.batches(most=3), 0
    while not {*"abcxyz"}.issubset(station.done):
        station.put(*(f"u{urgent + number}" for number in range(3)), queue=INSTALLER_DUE_HIGH)
        urgent += 3
        batches.run_once(station.stop)
        assert urgent < 60, "something waits for ever"
    assert [name for name in station.done if name in "abc"] == [*"abc"]
    assert [name for name in station.done if name in "xyz"] == [*"xyz"]


def test_a_batch_takes_no_more_than_it_may_and_leaves_the_rest_as_new(station: Station) -> None:
    names = [f"n{number}" for number in range(12)]
    station.put(*names)
    station.batches(most=5).run_once(station.stop)
    assert (station.done, station.depth()) == (names[:5], 7)
    consumer = station.broker.consumer(INSTALLER_DUE, 10)
    assert [delivery.redeliveries for delivery in consumer.take(10, 0)] == [0] * 7
    consumer.close()


# Tick after tick


class Waiting:
    """Stands in for the event that the timer waits on: a wait takes no time, but turns the clock."""

    def __init__(self, station: Station, calls: Sequence[float] = ()) -> None:
        self.station = station
        self.calls = list(calls)
        """Seconds after which somebody calls, one for each wait that is cut short; 0: nobody does."""
        self.pauses: list[float] = []

    def wait(self, pause: float) -> bool:
        self.pauses.append(pause)
        called_after = self.calls.pop(0) if self.calls else 0
        self.station.clock.moment += timedelta(seconds=called_after or pause)
        return bool(called_after)

    def set(self) -> None:
        """Nobody waits for real."""

    clear = set


def ticks(
    station: Station,
    count: int,
    *,
    calls: Sequence[float] = (),
    each: Callable[[], object] = lambda: None,
    **timer: Any,
) -> list[datetime]:
    """When the first batches begin."""
    batches = station.batches(**{"jitter_seconds": 0, **timer})
    began: list[datetime] = []

    def run_once(*_: object) -> int:
        began.append(station.clock.now())
        if len(began) == count:
            station.stop.set()
        each()
        return 0

    vars(batches).update(run_once=run_once, _called=Waiting(station, calls))
    batches.run(station.stop)
    return began


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-01T{text}").replace(tzinfo=UTC)


def test_ticks_are_aligned_to_the_clock_and_not_to_the_start(station: Station) -> None:
    station.clock.moment = at("12:03:17.250")
    assert ticks(station, 3) == [at("12:05"), at("12:10"), at("12:15")]


@pytest.mark.parametrize(
    ("every", "first"),
    [("*/5 * * * *", "12:05:00"), ("*/10 * * * * *", "12:00:10"), ("30 3 * * *", "03:30:00"), ("0 13 * * *", "13:00")],
)
def test_the_frequency_is_a_cron_expression_down_to_seconds(station: Station, every: str, first: str) -> None:
    (began,) = ticks(station, 1, every=every)
    assert began.time() == at(first).time()
    assert began > at("12:00")


def test_ticks_that_passed_while_a_batch_worked_are_not_made_up_for(station: Station) -> None:
    def work() -> None:
        station.clock.moment += timedelta(minutes=12)

    assert ticks(station, 3, each=work) == [at("12:05"), at("12:20"), at("12:35")]


def test_a_call_starts_a_batch_at_once_and_no_tick_is_left_out_for_it(station: Station) -> None:
    assert ticks(station, 3, calls=[60]) == [at("12:01"), at("12:05"), at("12:10")]


def test_no_batch_begins_while_the_timer_is_paused_but_one_that_is_called_for(station: Station) -> None:
    station.is_paused = lambda: station.clock.now() < at("12:12")
    assert ticks(station, 3, calls=[0, 60]) == [at("12:02"), at("12:15"), at("12:20")]


def test_a_pause_ends_the_batch_that_works_and_what_is_begun_is_finished(station: Station) -> None:
    station.is_paused = lambda: bool(station.done)
    station.put(*"abcde")
    station.batches().run_once(station.stop, station.clock.now())
    assert 1 <= len(station.done) <= CONCURRENCY
    assert len(station.done) + station.depth() == 5
    station.batches().run_once(station.stop)
    assert station.depth() == 0, "staff's own call is a batch all the same"


def test_a_timer_that_cannot_read_whether_it_is_paused_begins_nothing(station: Station) -> None:
    def is_paused() -> bool:
        if station.clock.now() < at("12:12"):
            raise StoreUnreachable("gone")
        return False

    station.is_paused = is_paused
    assert ticks(station, 1) == [at("12:15")]


def test_replicas_start_up_to_the_jitter_after_the_tick(station: Station) -> None:
    began = ticks(station, 200, jitter_seconds=5)
    late = [(moment - moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)) for moment in began]
    assert all(timedelta(0) <= lateness <= timedelta(seconds=5) for lateness in late)
    assert max(late) - min(late) > timedelta(seconds=2), "they do not all start together"


TROUBLES = [BrokerUnreachable("gone"), StoreUnreachable("gone"), ConfigurationError("a permission was taken away")]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_batch_that_finds_no_broker_or_database_does_not_end_the_timer(station: Station, trouble: Exception) -> None:
    def fail() -> None:
        raise trouble

    assert len(ticks(station, 3, each=fail)) == 3


# Called from elsewhere


@pytest.fixture
def running(station: Station) -> Iterator[Batches]:
    """A timer that never ticks by itself."""
    batches = station.batches(every="0 0 29 2 *", jitter_seconds=0)
    thread = threading.Thread(target=batches.run, args=(station.stop,))
    thread.start()
    yield batches
    station.stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the end of the service must not wait for a tick"


def until(reached: Callable[[], object]) -> None:
    ends = monotonic() + PATIENCE
    while not reached():
        assert monotonic() < ends, "it does not come to that"


def test_run_now_does_not_wait_for_the_tick(station: Station, running: Batches) -> None:
    station.put("a")
    running.run_now()
    until(lambda: station.done == ["a"])


def test_a_call_that_comes_while_a_batch_works_starts_another(station: Station, running: Batches) -> None:
    station.acting(running.run_now)
    station.put("a")
    running.run_now()
    until(lambda: station.opened >= 2)
