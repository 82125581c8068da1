"""The worker: takes messages from one queue, runs their handlers and effects, and settles the deliveries.

The life of a delivery, and the field that holds it meanwhile:

    arrived    taken from the queue                                          `_next`
    suspect    may have killed its last worker: waits to be handled alone    `_ward`
    claimed    its handler has decided; its effect waits for a thread        `_in_flight`, `_pool`
    running    a thread is running its effect                                `_in_flight`
    finished   the effect's result is to be recorded                         `_finished`
    settled    acknowledged, or dead-lettered by the broker                  none

Most deliveries have no effect and are settled as soon as they are decided. Each run is one transaction for
everything that is ready: it loads and locks the rows of all orders concerned, records finished effects, decides new
deliveries, and writes what has changed. Only then are deliveries settled. If one of them makes the transaction fail,
each is tried alone, so a failure never affects its neighbours.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any

import structlog

from foundation.broker import Consumer, Delivery, codec
from foundation.broker.causes import MESSAGE_CAUSES
from foundation.broker.codec import Malformed
from foundation.broker.sender import Sender, sender_of
from foundation.broker.setbacks import setbacks
from foundation.errors import Failed, StoreConflict, StoreUnreachable
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Duplicate, Effect, Handler, Handlers, Outcome, Park, Rejected, Retry
from foundation.handling.pace import TOGETHER, Pace
from foundation.handling.poison import PoisonWard
from foundation.handling.pool import Pool
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.handling.vouching import vouched
from foundation.store import inbox
from foundation.store.inbox import NOTHING, Fingerprint
from foundation.telemetry import tracing
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics
from schemas.envelope import Event
from schemas.values import Cause

DEADLINE = 900.0
"""Seconds that an effect may take by default."""

_PATIENCE = 1.0
"""Seconds to wait for something to do before looking whether to stop."""

_STATUSES = sorted({kind.status for kind in (Done, Duplicate, Retry, Park)})

_log = structlog.get_logger(__name__)

OnMalformed = Callable[[UnitOfWork, Malformed], None]
OnDuplicate = Callable[[UnitOfWork, Event[Any]], None]


class Phase(StrEnum):
    """How far a delivery has come (see above)."""

    ARRIVED = "arrived"
    CLAIMED = "claimed"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass
class WorkItem:
    """One event on its way through the worker, with all copies of it that were delivered meanwhile."""

    deliveries: list[Delivery]
    event: Event[Any] | None
    """None if the message is malformed."""
    decide: Callable[[UnitOfWork], Outcome | Effect]
    """What to call in the next transaction: the handler on arrival, later what records the effect's result."""
    sender: Sender
    """Who first sent it."""
    fingerprint: Fingerprint = NOTHING
    phase: Phase = Phase.ARRIVED
    claim: Any = None
    """The row that the effect's lease is on."""
    taken_at: float = field(default_factory=monotonic)
    begun_at: float | None = None
    """When a thread began its effect (monotonic seconds)."""
    seconds: float | None = None
    """How many seconds its effect took."""
    abandoned: bool = False
    """Whether it has been logged that the worker no longer waits for its effect."""
    identity: inbox.Identity | None = field(init=False)

    def __post_init__(self) -> None:
        self.identity = (self.event.source, self.event.id) if self.event else None

    @property
    def delivery(self) -> Delivery:
        return self.deliveries[0]

    @property
    def is_new(self) -> bool:
        return self.phase is Phase.ARRIVED

    def seconds_running(self) -> float:
        return monotonic() - self.begun_at if self.begun_at is not None else 0.0


class Worker:
    """Handles the deliveries of one queue, usually up to `capacity` at a time, with `threads` for their effects."""

    def __init__(
        self,
        queue: str,
        handlers: Handlers,
        database: Database[Any],
        *,
        capacity: int,
        most: int = 0,
        threads: int = 1,
        deadline: float = DEADLINE,
        leases: Leases | None = None,
        on_malformed: OnMalformed | None = None,
        on_duplicate: OnDuplicate | None = None,
        vouching: Collection[str] = (),
        metrics: Metrics | None = None,
        heartbeats: Heartbeats | None = None,
    ) -> None:
        """Create a worker; `run` starts it.

        While effects are quick, up to `most` deliveries are in flight. An effect that takes longer than `deadline`
        seconds counts as hung: the worker doesn't wait for it any more, and `heartbeats` reports it. `leases` tracks
        the claims of running effects. `on_malformed` is called for each malformed message, `on_duplicate` for each
        event that was sent again after it had been handled. `vouching` are the broker's users who may say, through
        exchanges of producers, who asked for something.
        """
        self.queue = queue
        self._handlers = handlers
        self._database = database
        self._pace = Pace(capacity, most, threads)
        self._was_quick = False
        self._deadline = deadline
        self._leases = leases
        self._on_malformed = on_malformed
        self._vouching = vouching
        self._on_duplicate = on_duplicate
        metrics = metrics or Metrics()
        self._heartbeats = heartbeats or Heartbeats()
        self._received = metrics.received.labels(queue)
        self._in_process = metrics.in_process.labels(queue)
        self._seconds = metrics.processed_seconds.labels(queue)
        # All from the start, at 0: one that starts at 1 shows no increase.
        self._processed = {status: metrics.processed.labels(queue, status) for status in _STATUSES}
        self._pool = Pool(threads, queue, self._run_effect)
        self._heartbeats.watch(queue, self.overdue)
        self._ward = PoisonWard()
        self._next: list[WorkItem] = []
        """The items of the next transaction; kept while the database is unreachable."""
        self._in_flight: dict[inbox.Identity | None, WorkItem] = {}
        self._finished: SimpleQueue[WorkItem] = SimpleQueue()
        self._interrupt: Callable[[], None] = _no_consumer
        self._told = threading.Event()
        """Set when effects have finished."""
        self._told_at = 0.0

    def run(self, consumer: Consumer, stop: threading.Event) -> None:
        """Handle deliveries until `stop` is set; then finish what has begun and return the rest to the queue."""
        while not stop.is_set():
            self._heartbeats.beat(self.queue)
            self._run_once_or_pause(consumer, stop, linger=TOGETHER)
        self.drain(consumer)

    def drain(self, consumer: Consumer) -> None:
        """Take no new deliveries, finish and settle everything except hung effects, and close the consumer."""
        self._give_back_waiting()
        patience = threading.Event()
        while self._next or self._busy or not self._finished.empty():
            self._heartbeats.beat(self.queue)
            self._run_once_or_pause(consumer, patience, taking=False)
        self._heartbeats.end(self.queue)
        for item in self._in_flight.values():
            if not item.abandoned:
                item.abandoned = True
                _log.error("act.abandoned", queue=self.queue, duration_seconds=round(item.seconds_running(), 3))
        self._ward.clear()
        self._in_process.set(0)
        consumer.close()

    def run_once(self, consumer: Consumer, timeout: float, *, taking: bool = True, linger: float = 0.0) -> int:
        """Run one transaction, after waiting up to `timeout` seconds for something to do; return its number of items.

        If there are several and effects are not slow, wait `linger` seconds for more. With `taking` false, no new
        deliveries are taken. Raises StoreUnreachable; the items are then kept for the next run.
        """
        self._interrupt = consumer.interrupt
        self._next = self._without_copies(self._next or self._gather(consumer, timeout, taking, linger))
        count = len(self._next)
        if count:
            self._commit(consumer)
        return count

    @property
    def idle(self) -> bool:
        """Whether there is nothing to wait for; hung effects don't count."""
        return not (self._busy or self._next) and self._ward.is_empty

    def overdue(self) -> int:
        """Return how many effects have exceeded the deadline. Thread-safe."""
        return sum(item.seconds_running() > self._deadline for item in tuple(self._in_flight.values()))

    def close(self) -> None:
        self._pool.close()
        self._heartbeats.unwatch(self.queue)

    @property
    def _busy(self) -> bool:
        """Whether any effects are in flight that have not hung."""
        return len(self._in_flight) > self.overdue()

    def _give_back_waiting(self) -> None:
        """Give back the claims of effects that no thread has begun, where that is possible."""
        for item, effect in self._pool.take_back():
            if effect.not_begun:
                self._conclude(item, effect, effect.not_begun)
            else:
                self._pool.submit((item, effect))
        self._employ()

    def _employ(self) -> None:
        """Have as many threads run the waiting effects as these are worth."""
        if waiting := self._pool.waiting:
            self._pool.employ(self._pace.threads_for(waiting))

    def _run_once_or_pause(
        self, consumer: Consumer, stop: threading.Event, *, taking: bool = True, linger: float = 0.0
    ) -> None:
        try:
            self.run_once(consumer, _PATIENCE, taking=taking, linger=linger)
        except StoreConflict as error:  # such as a deadlock: the next run tries the same again
            _log.warning("store.conflict", queue=self.queue, reason=str(error))
        except StoreUnreachable as error:
            _log.warning("store.unreachable", queue=self.queue, reason=str(error))
            stop.wait(1)

    # Arrived

    def _gather(self, consumer: Consumer, timeout: float, taking: bool, linger: float) -> list[WorkItem]:
        finished = self._take_finished(0)
        if taking and (suspect := self._ward.next(idle=not (finished or self._busy))):
            return [self._arrived(suspect)]
        self._keep_pace(consumer)
        room = self._pace.capacity - len(self._in_flight)
        if self._ward.is_closed or not taking or room <= 0:
            return finished or self._take_finished(timeout)
        arrived = consumer.take(room, 0 if finished else timeout)
        waits = self._pace.is_quick or not self._in_flight  # a slow effect's slot is worth more than a transaction
        if linger and waits and len(finished) + len(arrived) > 1 and len(arrived) < room:
            sleep(linger)
            finished += self._take_finished(0)
            arrived += consumer.take(room - len(arrived), 0)
        self._received.inc(len(arrived))
        self._in_process.inc(len(arrived))
        return finished + [self._arrived(delivery) for delivery in self._ward.admit(arrived)]

    def _keep_pace(self, consumer: Consumer) -> None:
        """Adapt the capacity to the effects' speed. When they become slow, give back claims that wait for a thread."""
        running = (item for item in tuple(self._in_flight.values()) if item.phase == Phase.RUNNING)
        self._pace.runs(max((item.seconds_running() for item in running), default=0.0))
        if self._was_quick and not self._pace.is_quick:
            self._give_back_waiting()
        self._was_quick = self._pace.is_quick
        self._employ()
        consumer.allow(self._pace.capacity)

    def _take_finished(self, timeout: float) -> list[WorkItem]:
        if timeout and self._finished.empty():
            self._told.wait(timeout)
        self._told.clear()
        items: list[WorkItem] = []
        with suppress(Empty):
            while True:
                items.append(self._finished.get_nowait())
        return items

    def _arrived(self, delivery: Delivery) -> WorkItem:
        sender = sender_of(delivery)
        try:
            event = vouched(tracing.begun(codec.read(delivery)), sender, self._vouching)
            handler = self._handler(event)
        except Malformed as problem:
            reject = partial(self._reject_malformed, delivery=delivery, problem=problem)
            return WorkItem([delivery], None, reject, sender)
        return WorkItem([delivery], event, lambda uow: handler(uow, event), sender, _fingerprint(sender, event))

    def _handler(self, event: Event[Any]) -> Handler:
        handler = self._handlers.get(type(event.data))
        if handler is None:
            raise Malformed("misdirected", "type", f"'{event.type}' does not belong in {self.queue}")
        return handler

    def _without_copies(self, items: list[WorkItem]) -> list[WorkItem]:
        """Remove copies of events that are in flight; they are settled together with the first."""
        left = []
        for item in items:
            first = self._in_flight.get(item.identity) if item.is_new else None
            if first is None:
                left.append(item)
            elif first.fingerprint.agrees(item.fingerprint):
                first.deliveries += item.deliveries
            else:
                left.append(self._impostor(item))
        return left

    def _impostor(self, item: WorkItem) -> WorkItem:
        """Turn an item with the id of a different, known event into a rejection: it must not pass for a duplicate."""
        document = item.event.model_dump(mode="json", exclude_none=True) if item.event else {}
        detail = "is the id of another event of this source, with different content or from another user"
        problem = Malformed("id_conflict", "id", detail, document)
        return WorkItem(
            item.deliveries,
            None,
            partial(self._reject_malformed, delivery=item.delivery, problem=problem),
            item.sender,
            taken_at=item.taken_at,
        )

    def _reject_malformed(self, uow: UnitOfWork, delivery: Delivery, problem: Malformed) -> Rejected:
        """Park a malformed message, and report it to its sender."""
        sender = str(problem.document.get("source", ""))[:200]
        cause = problem.cause
        if not delivery.size:  # a delivery with a size was too large to take; the broker parks it whole
            uow.park(delivery, cause, problem.field, sender)
        # If the id was taken while the event was parked, only staff need to see it: the sender was told before, and may
        # have sent a corrected event under the same id.
        if self._on_malformed and not (problem.code == "id_conflict" and setbacks(delivery)):
            self._on_malformed(uow, problem)
        _log.warning("message.parked", code=cause.code, reason=cause.detail, sent_by=sender)
        return Rejected()

    # Decided: one transaction

    def _commit(self, consumer: Consumer) -> None:
        try:
            results = self._decide_together(self._next)
        except StoreUnreachable:
            raise
        except Exception:  # noqa: BLE001  # one of the items is at fault; trying each alone shows which
            self._decide_one_by_one(consumer)
        else:
            self._follow_up(consumer, list(zip(self._next, results, strict=True)))
            self._next = []

    def _decide_one_by_one(self, consumer: Consumer) -> None:
        # Each is followed up before the next is tried, because the database may go away in between: an effect whose
        # claim is committed must not be forgotten.
        while self._next:
            for item in self._without_copies(self._next[:1]):
                self._follow_up(consumer, [(item, self._decide_alone(item))])
            self._next = self._next[1:]

    def _decide_alone(self, item: WorkItem) -> Outcome | Effect:
        try:
            return self._decide_together([item])[0]
        except StoreUnreachable:
            raise
        except Exception as error:  # noqa: BLE001  # a bug of ours must not lose the message
            cause = _unexpected(error)
            _log.exception("message.unexpected", queue=self.queue, type=item.delivery.type)
            with self._database.begin() as uow:  # without the inbox, in case the event's id is at fault
                return self._recorded(uow, item, Park(cause))

    def _decide_together(self, items: list[WorkItem]) -> list[Outcome | Effect]:
        """Decide all items in one transaction; return their results in the same order."""
        with self._database.begin([item.event for item in items if item.event]) as uow:
            new = [item.identity for item in items if item.is_new and item.identity]
            known = inbox.seen(uow.connection, self.queue, new)
            results = [self._decide(uow, item, known) for item in items]
            done = [(item, result) for item, result in zip(items, results, strict=True) if type(result) is Done]
            for remember, is_new in ((inbox.remember, True), (inbox.remember_late, False)):
                settled = {i.identity: i.fingerprint for i, _ in done if i.identity and i.is_new == is_new}
                remember(uow.connection, self.queue, settled, uow.now)
        return results

    def _decide(self, uow: UnitOfWork, item: WorkItem, known: dict[inbox.Identity, Fingerprint]) -> Outcome | Effect:
        uow.sender = item.sender
        if item.is_new and item.identity in known:
            if known[item.identity].agrees(item.fingerprint):
                return self._duplicate(uow, item)
            item = self._impostor(item)
        elif item.identity:
            known[item.identity] = item.fingerprint
        with tracing.handling(item.event, self.queue, "claim" if item.is_new else "record"):
            return self._recorded(uow, item, item.decide(uow))

    def _duplicate(self, uow: UnitOfWork, item: WorkItem) -> Duplicate:
        """Do nothing but call `on_duplicate`, unless it was the broker that delivered the message again."""
        if self._on_duplicate and item.event and not item.delivery.redeliveries:
            self._on_duplicate(uow, item.event)
        return Duplicate()

    def _recorded(self, uow: UnitOfWork, item: WorkItem, result: Outcome | Effect) -> Outcome | Effect:
        match result:
            case Retry() if item.event:
                uow.retry(item.delivery, item.event, result.at, acted=not item.is_new)
                _log.info("message.retry", cause=result.cause.code)
            case Park():
                uow.park(item.delivery, result.cause, result.field, item.event.source if item.event else "")
                _log.warning("message.parked", code=result.cause.code, reason=result.cause.detail)
        return result

    # Settled, or on to its effect

    def _follow_up(self, consumer: Consumer, results: list[tuple[WorkItem, Outcome | Effect]]) -> None:
        settled: list[Delivery] = []
        statuses = Counter[str]()
        for item, result in results:
            if isinstance(result, Effect):
                self._begin_effect(item, result)
                continue
            if not item.is_new:
                self._in_flight.pop(item.identity, None)
                if item.seconds is not None:
                    self._pace.took(item.seconds)
            if item.claim and self._leases:
                self._leases.let_go(item.claim)
            settled += item.deliveries
            statuses[result.status] += 1
            self._seconds.observe(monotonic() - item.taken_at)
        for status, count in statuses.items():
            self._processed[status].inc(count)
        self._employ()
        consumer.reject([delivery for delivery in settled if delivery.size])
        consumer.settle([delivery for delivery in settled if not delivery.size])
        self._in_process.dec(len(settled))

    def _begin_effect(self, item: WorkItem, effect: Effect) -> None:
        item.phase, item.claim = Phase.CLAIMED, effect.claim
        if self._leases:
            self._leases.hold(effect.claim, waiting=True)
        self._in_flight[item.identity] = item
        self._pool.submit((item, effect))

    def _run_effect(self, work: tuple[WorkItem, Effect]) -> None:
        """Run an effect, in a thread of the pool. Never raises."""
        item, effect = work
        item.phase, item.begun_at = Phase.RUNNING, monotonic()
        conclusion: tuple[Any, ...] = ()
        try:
            with tracing.handling(item.event, self.queue, "act"):
                conclusion = self._conclusion(effect)
        except Exception as error:  # noqa: BLE001  # not the effect's own: without a conclusion it is never settled
            _log.exception("act.unexpected")
            conclusion = conclusion or (effect.failed, _unexpected(error))
        self._conclude(item, effect, *conclusion)

    def _conclusion(self, effect: Effect) -> tuple[Callable[..., Outcome], Any]:
        """Run the effect; return what to call with its result, and the result."""
        try:
            if self._leases:
                self._leases.hold(effect.claim)
            return effect.succeeded, effect.run(effect.claim)
        except Failed as failure:
            return effect.failed, failure.cause
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  # becomes a cause like any other
            _log.exception("act.unexpected")
            return effect.failed, _unexpected(error)

    def _conclude(self, item: WorkItem, effect: Effect, step: Callable[..., Outcome], *result: Any) -> None:
        """Have the next transaction record an effect's result. Thread-safe."""
        # It must not refer to the item: in a circle, both would stay until the garbage collector looks.
        claim, event = effect.claim, item.event
        item.decide = lambda uow: step(uow, claim, event, *result)
        item.seconds = item.seconds_running() if item.begun_at is not None else None
        item.phase = Phase.FINISHED
        self._finished.put(item)
        # What is finished at about the same time is recorded together.
        if not self._pool.waiting or monotonic() - self._told_at > TOGETHER:
            self._told_at = monotonic()
            self._told.set()
            self._interrupt()


def _fingerprint(sender: Sender, event: Event[Any]) -> Fingerprint:
    # Our own services may log in as another user tomorrow and send the same event again.
    return Fingerprint(codec.digest(event), sender.user_id if sender.is_producer else "")


def _unexpected(error: BaseException) -> Cause:
    # The exception's own text may quote a secret: it stays in the log.
    return MESSAGE_CAUSES.cause("unexpected", f"unexpected {type(error).__name__}")


def _no_consumer() -> None:
    """Nothing waits for deliveries yet."""
