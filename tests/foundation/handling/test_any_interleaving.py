"""Inbox and outbox against a model: in whatever order producers send, workers and relays work, processes end and the
broker refuses, each event has its effect recorded once, and what was committed is said, nothing else."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import text
from structlog.testing import capture_logs

from foundation.broker import Confirmation, Delivery, Message, codec
from foundation.broker.topology import EVENTS, PARKING
from foundation.errors import StoreUnreachable
from foundation.handling.outcomes import Done, Effect, Outcome, Retry
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import UnitOfWork
from schemas.accounts import AccountFailed
from schemas.envelope import Event
from schemas.orders import OrderCancelled
from tests.foundation.handling.test_relay import Stubborn
from tests.foundation.handling.test_worker import CAUSE, Lane
from tests.support.house import Killed
from tests.support.machines import of_machine

NUMBERS = st.integers(0, 5)
"""Each is an event: of 0 and 3 the handler is done at once, of 1 and 4 after another try, of 2 and 5 with an effect."""
POINTS = ("in the transaction", "after the commit", "before the acknowledgement", "after publishing", "no database")


class Interleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        self._logs = capture_logs()
        self._logs.__enter__()
        self.lane = lane = Lane(Path(self._directory.name))
        with lane.store.transaction() as connection:
            connection.execute(text("CREATE TABLE done (event TEXT, told TEXT)"))
            connection.execute(text("CREATE TABLE tried (event TEXT)"))
        lane.handler = self._handle
        self.watcher = lane.broker.watch(EVENTS, "#")
        self.sent: set[str] = set()
        self.said: set[str] = set()
        self.trap = ""
        self._end()
        self._start()

    # The service

    def _handle(self, uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome | Effect:
        number = int(event.data.order_id)
        if number % 3 == 1 and not self._rows("tried", event.id, uow):
            uow.connection.execute(text("INSERT INTO tried VALUES (:id)"), {"id": event.id})
            self._step_into("in the transaction", "no database")
            return Retry(uow.now, CAUSE)
        if number % 3 == 2:
            return Effect(event.id, lambda _: None, lambda uow, _, event, _r: self._record(uow, event), _never)
        return self._record(uow, event)

    def _record(self, uow: UnitOfWork, event: Event[OrderCancelled]) -> Outcome:
        told = uow.emit(AccountFailed(order_id=event.data.order_id, cause=CAUSE), event.data.order_id, event)
        uow.connection.execute(text("INSERT INTO done VALUES (:id, :told)"), {"id": event.id, "told": told.id})
        self._step_into("in the transaction", "no database")
        return Done()

    def _start(self) -> None:
        """A process, with traps at each point where it can end."""
        lane = self.lane
        self.publisher = Stubborn(lane.broker.publisher())
        lane.relay = Relay(lane.store, self.publisher, lane.broker.topology, lane.clock.now)
        lane.open()
        _behind(lane.relay, "hand_over", lambda: self._step_into("after the commit"), first=True)
        _behind(lane.consumer, "settle", lambda: self._step_into("before the acknowledgement"), first=True)
        _behind(self.publisher, "publish", lambda: self._step_into("after publishing"), first=False)
        object.__setattr__(lane.worker._database, "committed", lane.relay.hand_over)

    def _step_into(self, *points: str) -> None:
        if self.trap in points:
            point, self.trap = self.trap, ""
            raise StoreUnreachable("on purpose") if point == "no database" else Killed

    def _do(self, step: Callable[[], object]) -> None:
        """Take a step; a process that ends is started anew, without anything that was in its memory."""
        try:
            step()
        except StoreUnreachable:
            return  # what it had in hand stays there
        except Killed:
            self._end()
            self._start()

    def _end(self) -> None:
        self.lane.worker.close()
        self.lane.consumer.close()

    # What happens

    @rule(number=NUMBERS)
    def somebody_sends_an_event_or_sends_it_again(self, number: int) -> None:
        self.lane.send(str(number))
        self.sent.add(f"id-{number}")

    @rule()
    def the_worker_takes_a_turn(self) -> None:
        self._do(self.lane.turn)

    @rule()
    def the_relay_publishes(self) -> None:
        self._do(lambda: self.lane.relay.run_once(timeout=0))

    @rule()
    def the_relay_sweeps(self) -> None:
        self._do(self.lane.relay.sweep)

    @rule(seconds=st.sampled_from([1, 20, 70, 700, -1, -700]))
    def the_clock_moves(self, seconds: int) -> None:
        self.lane.later(seconds)

    @precondition(lambda self: not self.trap)
    @rule(point=st.sampled_from(POINTS))
    def a_trap_is_set(self, point: str) -> None:
        self.trap = point

    @rule(answer=st.sampled_from(list(Confirmation)), arrives=st.booleans())
    def the_broker_answers_something(self, answer: Confirmation, arrives: bool) -> None:
        self.publisher.answers = [answer] if answer != Confirmation.CONFIRMED else []
        self.publisher.arrives = arrives

    @rule()
    def the_process_is_killed(self) -> None:
        def kill() -> None:
            raise Killed

        self._do(kill)

    # What is true at any time, and in the end

    @invariant()
    def nothing_is_recorded_twice_or_said_without_a_record(self) -> None:
        recorded = self._rows("done")
        assert len({event for event, _ in recorded}) == len(recorded)
        self._listen()
        assert self.said <= {told for _, told in recorded}

    def teardown(self) -> None:
        try:
            self.trap, self.publisher.answers = "", []
            for _ in range(4):
                self.lane.later(1000)
                self.lane.rest()
                self.lane.relay.sweep()
            recorded = self._rows("done")
            assert {event for event, _ in recorded} == self.sent
            self._listen()
            assert self.said == {told for _, told in recorded}
            assert self.lane.broker.browse(PARKING, 10) == []
        finally:
            self.lane.worker.close()
            self.lane.store.close()
            self._logs.__exit__(None, None, None)
            self._directory.cleanup()

    def _listen(self) -> None:
        heard: Sequence[Delivery] = self.watcher.take(1000, 0)
        self.said.update(codec.decode(delivery.body).id for delivery in heard)

    def _rows(self, table: str, event: str = "%", uow: UnitOfWork | None = None) -> list[Any]:
        query, wanted = text(f"SELECT * FROM {table} WHERE event LIKE :event"), {"event": event}
        if uow:
            return list(uow.connection.execute(query, wanted))
        with self.lane.store.reading() as connection:
            return list(connection.execute(query, wanted))


def _never(*_: Any) -> Outcome:
    raise AssertionError("no effect fails here")


def _behind(owner: Any, method: str, trap: Callable[[], None], *, first: bool) -> None:
    """Have a call step into a trap, before or after it does its work."""
    real = getattr(owner, method)

    def trapped(things: list[Message], *more: Any) -> Any:
        if things and first:
            trap()
        done = real(things, *more)
        if things and not first:
            trap()
        return done

    vars(owner)[method] = trapped


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = of_machine(examples=40, steps=40)
