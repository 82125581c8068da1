"""The loop around the handlers: what is settled when, and what one message may cost the others."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Connection, select

from foundation.broker import Consumer, Delivery, Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.memory import MemoryBroker
from foundation.broker.topology import INTAKE_ORDERS, ORDERS, PARKING, sitecrew
from foundation.errors import StoreUnreachable
from foundation.runtime.relay import Relay
from foundation.runtime.tx import Ledger, Tx, new_id
from foundation.runtime.worker import Act, Done, Handler, Park, Retry, Settled, Worker
from foundation.store import Store
from foundation.store.inbox import inbox
from schemas.envelope import Event
from schemas.orders import OrderCancelled
from schemas.values import Cause, CauseKind
from tests.house import Clock, Killed, failure, new_database

PATIENCE = 20.0
CAUSE = Cause(code="test", kind=CauseKind.TRANSIENT, detail="on purpose", remedy="none")


class Lane:
    """One queue, its handler, and a store; `replica` makes a second worker on both."""

    def __init__(self, directory: Path, capacity: int = 10) -> None:
        self.clock = Clock()
        self.capacity = capacity
        self.broker = MemoryBroker(sitecrew(Ladder()), self.clock.now)
        file = directory / "store.db"
        file.write_bytes(new_database())
        self.store = Store(f"sqlite:///{file}")
        self.relay = Relay(self.store, self.broker.publisher(), self.broker.topology, self.clock.now)
        self.handler: Handler = lambda _tx, _event: Done()
        self.open()

    def open(self) -> None:
        self.worker, self.consumer = self.replica()

    def replica(self, handler: Handler | None = None) -> tuple[Worker, Consumer]:
        ledger = Ledger(self.store, "test", self.clock.now, self.relay.hand_over)
        handlers = {OrderCancelled: handler or (lambda tx, event: self.handler(tx, event))}
        worker = Worker(INTAKE_ORDERS, handlers, ledger, capacity=self.capacity, threads=self.capacity)
        return worker, self.broker.consumer(INTAKE_ORDERS, self.capacity)

    def send(self, *order_ids: str, id: str | None = None) -> None:
        for order_id in order_ids:
            event = codec.envelope(
                OrderCancelled(order_id=order_id), id=id or f"id-{order_id}", source="/test", subject=order_id
            )
            self.send_bytes(codec.encode(event))

    def send_bytes(self, body: bytes) -> None:
        self.broker.publisher().publish([Message(ORDERS, "order.cancelled.v1", body, new_id())])

    def turn(self) -> int:
        return self.worker.turn(self.consumer, timeout=0)

    def rest(self) -> None:
        """Until everything is handled and published."""
        self.until(lambda: not self.turn() and self.worker.idle)
        self.relay.run_once(timeout=0)

    def until(self, reached: Callable[[], object]) -> None:
        ends = monotonic() + PATIENCE
        while not reached():
            assert monotonic() < ends, "it does not come to that"

    def kill(self) -> None:
        """Whatever was not settled is the broker's again."""
        self.worker.close()
        self.consumer.close()

    def parked(self) -> list[Delivery]:
        return self.broker.browse(PARKING, 1000)

    def remembered(self) -> list[str]:
        with self.store.reading() as connection:
            return [row.id for row in connection.execute(select(inbox.c.id))]


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(tmp_path)


class Acting:
    """A handler whose acts are counted, and wait for `go` where a test wants to hold them."""

    def __init__(self, *, held: bool = False) -> None:
        self.claimed: list[str] = []
        self.ran: list[str] = []
        self.recorded: list[str] = []
        self.at_work = 0
        self.most_at_work = 0
        self.go = threading.Event()
        self._lock = threading.Lock()
        if not held:
            self.go.set()

    def __call__(self, _tx: Tx, event: Event[OrderCancelled]) -> Settled | Act:
        name = event.data.order_id
        self.claimed.append(name)
        return Act(lambda: self.run(name), lambda tx, _result: self.record(tx, name), lambda _tx, _cause: Done())

    def run(self, name: str) -> None:
        with self._lock:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        assert self.go.wait(PATIENCE)
        with self._lock:
            self.at_work -= 1
            self.ran.append(name)

    def record(self, _tx: Tx, name: str) -> Settled:
        self.recorded.append(name)
        return Done()


@contextmanager
def store_fails(store: Store, *, times: int = 1, committed: bool = False, after: int = 0) -> Iterator[None]:
    """The database goes away at the end of some transactions: before or after it has committed them."""
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


# Settled when, and what of


def test_a_delivery_is_acknowledged_after_its_transaction_and_not_before(lane: Lane) -> None:
    at_settling: list[list[str]] = []
    real = lane.consumer.settle

    def settle(deliveries: list[Delivery]) -> None:
        if deliveries:
            at_settling.append(lane.remembered())
        real(deliveries)

    lane.consumer.settle = settle  # type: ignore[method-assign]
    lane.send("a", "b")
    lane.rest()
    assert at_settling == [["id-a", "id-b"]]


def test_a_duplicate_changes_nothing_whether_it_comes_in_one_batch_or_hours_later(lane: Lane) -> None:
    lane.handler = acting = Acting()
    lane.send("a", "a")
    lane.rest()
    lane.send("a")
    lane.rest()
    assert acting.ran == ["a"]


def test_a_copy_that_comes_while_the_act_runs_is_settled_with_the_first(lane: Lane) -> None:
    lane.handler = acting = Acting(held=True)
    lane.send("a")
    lane.turn()
    lane.send("a")
    lane.turn()
    lane.kill()
    assert lane.broker.depth(INTAKE_ORDERS) == 2, "as long as nothing is recorded, no copy may go"
    lane.open()
    acting.go.set()
    lane.rest()
    assert acting.recorded == ["a"]


def test_a_copy_that_another_replica_settles_meanwhile_does_not_undo_the_record(lane: Lane) -> None:
    lane.handler = acting = Acting(held=True)
    lane.send("a")
    lane.turn()
    other, consumer = lane.replica(lambda _tx, _event: Done())  # it sees in the row that somebody is at it
    lane.send("a")
    assert other.turn(consumer, timeout=0) == 1
    acting.go.set()
    lane.rest()
    assert acting.recorded == ["a"]
    assert lane.parked() == []


def test_of_two_replicas_that_handle_two_copies_at_once_one_is_undone(lane: Lane) -> None:
    """The second finds at its end that the first was faster; all that it did goes with its transaction."""
    other, consumer = lane.replica(lambda _tx, _event: Done())
    lane.send("a", "a")

    def slowly(tx: Tx, event: Event[OrderCancelled]) -> Settled:
        tx.emit(event.data, "a")
        return Done()

    lane.handler = slowly
    lane.consumer.take(0, 0)
    known = lane.remembered()
    assert known == []
    lane.turn()
    other.turn(consumer, timeout=0)
    lane.rest()
    assert lane.remembered() == ["id-a"]
