"""The loop around a service's handlers.

A handler is a plain function `(tx, event) -> Settled | Act`. It claims: looks at the service's rows
and changes them. If that was all, it returns `Done`, `Retry` or `Park`. If something is to be done
in the outside world, it returns an `Act`: `run` happens in a worker thread, outside any transaction;
then `record` (or `fail`, with the cause) writes down what came of it.

Each turn of the loop is one transaction for everything that is ready: acts that have finished are
recorded, new deliveries are claimed. Only then are deliveries acknowledged. If a turn's transaction
fails for the sake of one message, each is tried alone, so a failure never costs its neighbours.
"""

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import structlog

from foundation.broker import Consumer, Delivery, codec
from foundation.broker.causes import MESSAGES
from foundation.broker.codec import Malformed
from foundation.broker.sender import sender_of
from foundation.broker.setbacks import setbacks
from foundation.errors import Failed, StoreConflict, StoreUnreachable
from foundation.handling.pool import Pool
from foundation.handling.tx import Ledger, Tx, is_suspect
from foundation.store import inbox
from foundation.store.inbox import NOTHING, Fingerprint
from foundation.telemetry import tracing
from foundation.telemetry.health import Pulse
from foundation.telemetry.metrics import Metrics
from schemas.envelope import Event
from schemas.values import Cause, Model

DEADLINE = 900.0
"""Seconds that an act may take where nothing else is said."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Done:
    """Dealt with; a duplicate will change nothing."""


@dataclass(frozen=True)
class Retry:
    """Deliver the same event again at a time."""

    at: datetime
    cause: Cause


@dataclass(frozen=True)
class Park:
    """Set aside for people. Not remembered as dealt with, so that it can be requeued."""

    cause: Cause
    field: str = ""
    """The path of what is wrong with it, if it is one field."""


Settled = Done | Retry | Park

_DUPLICATE = Done()
"""What becomes of an event that was dealt with before."""
_STATUS: Mapping[type[Settled], str] = {Done: "done", Retry: "retry", Park: "parked"}


@dataclass(frozen=True)
class Act:
    """Something to do in the outside world, and what to write down afterwards."""

    run: Callable[[], Any]
    record: Callable[[Tx, Any], Settled]
    fail: Callable[[Tx, Cause], Settled]
    claimed: Callable[[], object] = lambda: None
    """Called once the claim is certain, before `run` has its turn."""
    release: Callable[[Tx], Settled] | None = None
    """Writes down that `run` has not had its turn, because the service stops. Without it, that is waited for."""


Handler = Callable[[Tx, Event[Any]], Settled | Act]
Handlers = Mapping[type[Model], Handler]
Refusal = Callable[[Tx, Malformed], None]
Repetition = Callable[[Tx, Event[Any]], None]


@dataclass(frozen=True)
class _Piece:
    """One thing to be done in a turn: claim a delivery, or record what became of its act."""

    delivery: Delivery
    event: Event[Any] | None
    step: Callable[[Tx], Settled | Act]
    fresh: bool
    since: float
    """When the delivery was taken (monotonic)."""
    fingerprint: Fingerprint = NOTHING

    @property
    def identity(self) -> inbox.Identity | None:
        return (self.event.source, self.event.id) if self.event else None


@dataclass
class _InHand:
    """What is being acted on, or waits for a thread: with all its copies."""

    piece: _Piece
    act: Act
    deliveries: list[Delivery]
    turn: Future[None] = field(default_factory=Future)
    begun: float | None = None
    """When a thread took it (monotonic)."""
    abandoned: bool = False
    """Whether it was told that nobody waits for it any more."""

    def seconds(self) -> float:
        return monotonic() - self.begun if self.begun is not None else 0.0


class Worker:
    """Handles the deliveries of one queue, at most `capacity` at a time, with `threads` for acts."""

    def __init__(
        self,
        queue: str,
        handlers: Handlers,
        ledger: Ledger,
        *,
        capacity: int,
        threads: int = 1,
        deadline: float = DEADLINE,
        refused: Refusal | None = None,
        repeated: Repetition | None = None,
        metrics: Metrics | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        """An act that takes longer than `deadline` seconds hangs: nobody waits for it any more, and `pulse` says so."""
        self.queue = queue
        self._deadline = deadline
        self._metrics = metrics or Metrics()
        self._pulse = pulse or Pulse()
        self._received = self._metrics.received.labels(queue)
        self._in_process = self._metrics.in_process.labels(queue)
        self._seconds = self._metrics.processed_seconds.labels(queue)
        for status in ("duplicate", *_STATUS.values()):
            self._metrics.processed.labels(queue, status)  # from zero: what appears at one is no increase yet
        self._handlers = handlers
        self._ledger = ledger
        self._capacity = capacity
        self._refused = refused
        self._repeated = repeated
        self._pool = Pool(threads, queue)
        self._pulse.watch(queue, self.overdue)
        self._acting: dict[inbox.Identity | None, _InHand] = {}
        self._finished: SimpleQueue[_Piece] = SimpleQueue()
        self._suspects: list[Delivery] = []
        self._trying = False
        """Whether a suspect has its chance just now."""
        self._held: list[_Piece] = []

    def run(self, consumer: Consumer, stop: threading.Event) -> None:
        """Until `stop`; then finish what was begun and give the rest back."""
        while not stop.is_set():
            self._pulse.beat(self.queue)
            self._turn_or_pause(consumer, stop, timeout=1.0)
        self.drain(consumer)

    def drain(self, consumer: Consumer) -> None:
        """Take nothing new, settle everything that was begun and does not hang, close the consumer."""
        self._release_the_waiting()
        patience = threading.Event()
        while self._held or self._busy or not self._finished.empty():
            self._pulse.beat(self.queue)
            self._turn_or_pause(consumer, patience, timeout=1.0, taking=False)
        self._pulse.end(self.queue)
        for hand in self._acting.values():
            if hand.abandoned:
                continue
            hand.abandoned = True
            _log.error("act.abandoned", queue=self.queue, duration_seconds=round(hand.seconds(), 3))
        self._suspects.clear()
        self._in_process.set(0)
        consumer.close()

    def _release_the_waiting(self) -> None:
        """Acts that have no thread yet are another worker's, if they can be given back."""
        for hand in self._acting.values():
            if hand.act.release and hand.turn.cancel():
                self._finished.put(replace(hand.piece, step=hand.act.release, fresh=False))

    def turn(self, consumer: Consumer, timeout: float, taking: bool = True) -> int:
        """One transaction of the loop, after waiting up to `timeout` seconds for something to do;
        how many pieces it had. Raises StoreUnreachable; what it had is then kept for the next."""
        pieces = self._held = self._apart(self._held or self._gather(consumer, timeout, taking))
        if pieces:
            self._commit(consumer)
        return len(pieces)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to wait for; an act that hangs is nothing."""
        return not (self._busy or self._held or self._suspects)

    def overdue(self) -> int:
        """How many acts have not come back for longer than they may take. Callable from any thread."""
        return sum(hand.seconds() > self._deadline for hand in tuple(self._acting.values()))

    @property
    def _busy(self) -> bool:
        """Whether there are acts that are worth waiting for."""
        return len(self._acting) > self.overdue()

    def close(self) -> None:
        self._pool.close()
        self._pulse.unwatch(self.queue)

    def _turn_or_pause(self, consumer: Consumer, stop: threading.Event, timeout: float, taking: bool = True) -> None:
        try:
            self.turn(consumer, timeout, taking)
        except StoreConflict as error:  # a deadlock: the next turn does the same again
            _log.warning("store.conflict", queue=self.queue, reason=str(error))
        except StoreUnreachable as error:
            _log.warning("store.unreachable", queue=self.queue, reason=str(error))
            stop.wait(1)

    # What there is to do

    def _gather(self, consumer: Consumer, timeout: float, taking: bool) -> list[_Piece]:
        recorded = self._recorded(0)
        busy = self._busy
        self._trying = self._trying and busy
        if self._suspects and taking and not (recorded or busy):
            return [self._next_suspect()]
        room = self._capacity - len(self._acting)
        if self._suspects or self._trying or not taking or room <= 0:
            return recorded or self._recorded(timeout)
        arrived = consumer.take(room, 0 if recorded else timeout)
        self._received.inc(len(arrived))
        self._in_process.inc(len(arrived))
        # What was handed out before and never settled may be what killed its worker. It is handled
        # alone, so that its neighbours are safely done before it gets another chance.
        self._suspects += [delivery for delivery in arrived if is_suspect(delivery)]
        return recorded + [self._piece(delivery) for delivery in arrived if not is_suspect(delivery)]

    def _next_suspect(self) -> _Piece:
        # Any of them: if the one that kills were always the first, the others would be handed out and
        # returned with it until the broker parks them all.
        self._trying = True
        return self._piece(self._suspects.pop(random.randrange(len(self._suspects))))

    def _recorded(self, timeout: float) -> list[_Piece]:
        pieces: list[_Piece] = []
        try:
            if timeout:
                pieces.append(self._finished.get(timeout=timeout))
            while True:
                pieces.append(self._finished.get_nowait())
        except Empty:
            return pieces

    def _apart(self, pieces: list[_Piece]) -> list[_Piece]:
        """Without copies of what is being acted on: those are settled with the first."""
        left = []
        for piece in pieces:
            hand = self._acting.get(piece.identity) if piece.fresh else None
            if hand is None:
                left.append(piece)
            elif hand.piece.fingerprint.agrees(piece.fingerprint):
                hand.deliveries.append(piece.delivery)
            else:
                left.append(self._impostor(piece))
        return left

    def _piece(self, delivery: Delivery) -> _Piece:
        try:
            event = tracing.begun(codec.read(delivery))
            handler = self._handler(event)
        except Malformed as problem:
            return _Piece(delivery, None, _then(self._refuse, delivery, problem), fresh=True, since=monotonic())
        return _Piece(
            delivery, event, _then(handler, event), fresh=True, since=monotonic(), fingerprint=_taken(delivery, event)
        )

    def _impostor(self, piece: _Piece) -> _Piece:
        """Another event under the name of one that is dealt with: it is refused, and must not pass for a duplicate."""
        event = piece.event
        document = event.model_dump(mode="json", exclude_none=True) if event else {}
        detail = "is that of another event of this source, with other content or from another user"
        step = _then(self._refuse, piece.delivery, Malformed("id_conflict", "id", detail, document))
        return replace(piece, event=None, step=step)

    def _handler(self, event: Event[Any]) -> Handler:
        handler = self._handlers.get(type(event.data))
        if handler is None:
            raise Malformed("misdirected", "type", f"'{event.type}' does not belong in {self.queue}")
        return handler

    def _refuse(self, tx: Tx, delivery: Delivery, problem: Malformed) -> Settled:
        sender = str(problem.document.get("source", ""))[:200]
        cause = problem.cause
        if not delivery.size:  # else the broker parks it, which has all of it
            tx.park(delivery, cause, problem.field, sender)
        # A name that was used up while its event stood in parking is staff's to see: the sender knows, and may have
        # sent it again, corrected, under this name.
        if self._refused and not (problem.code == "id_conflict" and setbacks(delivery)):
            self._refused(tx, problem)
        _log.warning("message.parked", code=cause.code, reason=cause.detail, sent_by=sender)
        return Done()

    # One transaction

    def _commit(self, consumer: Consumer) -> None:
        try:
            results = self._together(self._held)
        except StoreUnreachable:
            raise
        except Exception:  # noqa: BLE001  # one of them is at fault; each alone shows which
            self._one_by_one(consumer)
        else:
            self._follow(consumer, results)
            self._held = []

    def _one_by_one(self, consumer: Consumer) -> None:
        # Each is followed up before the next is tried, which may find the database gone: an act whose
        # claim is committed must not be forgotten.
        while self._held:
            for piece in self._apart(self._held[:1]):
                self._follow(consumer, [(piece, self._alone(piece))])
            self._held = self._held[1:]

    def _together(self, pieces: list[_Piece]) -> list[tuple[_Piece, Settled | Act]]:
        results: list[tuple[_Piece, Settled | Act]] = []
        settled: dict[bool, dict[inbox.Identity, Fingerprint]] = {True: {}, False: {}}
        with self._ledger.transaction() as tx:
            known = inbox.seen(tx.connection, self.queue, [p.identity for p in pieces if p.fresh and p.identity])
            for taken in pieces:
                piece, duplicate = taken, False
                if taken.fresh and taken.identity in known:
                    duplicate = known[taken.identity].agrees(taken.fingerprint)
                    piece = taken if duplicate else self._impostor(taken)
                result = self._repetition(tx, piece) if duplicate else self._step(tx, piece)
                results.append((piece, result))
                if piece.identity and not duplicate:
                    known[piece.identity] = piece.fingerprint
                    if isinstance(result, Done):
                        settled[piece.fresh][piece.identity] = piece.fingerprint
            inbox.remember(tx.connection, self.queue, settled[True], tx.now)
            inbox.remember_acted(tx.connection, self.queue, settled[False], tx.now)
        return results

    def _repetition(self, tx: Tx, piece: _Piece) -> Done:
        """Nothing is done about what was dealt with. Whoever sent it once more may be told; what the broker handed
        out once more was sent by nobody."""
        if self._repeated and piece.event and not piece.delivery.redeliveries:
            tx.sender = sender_of(piece.delivery)
            self._repeated(tx, piece.event)
        return _DUPLICATE

    def _step(self, tx: Tx, piece: _Piece) -> Settled | Act:
        with tracing.handling(piece.event, self.queue, "claim" if piece.fresh else "record"):
            tx.sender = sender_of(piece.delivery)
            result = piece.step(tx)
            match result:
                case Retry() if piece.event:
                    tx.again(piece.delivery, piece.event, result.at, acted=not piece.fresh)
                    _log.info("message.retry", cause=result.cause.code)
                case Park():
                    source = piece.event.source if piece.event else ""
                    tx.park(piece.delivery, result.cause, result.field, source)
                    _log.warning("message.parked", code=result.cause.code, reason=result.cause.detail)
        return result

    def _alone(self, piece: _Piece) -> Settled | Act:
        try:
            return self._together([piece])[0][1]
        except StoreUnreachable:
            raise
        except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the message
            cause = _unexpected(error)
            _log.exception("message.unexpected", queue=self.queue, type=piece.delivery.type)
            # As if acted on, so that the inbox is not asked: it may be the event's id that it chokes on.
            park = replace(piece, step=lambda _: Park(cause), fresh=False)
            return self._together([park])[0][1]

    # After it

    def _follow(self, consumer: Consumer, results: list[tuple[_Piece, Settled | Act]]) -> None:
        settled: list[Delivery] = []
        for piece, result in results:
            if isinstance(result, Act) and piece.identity:
                result.claimed()
                hand = self._acting[piece.identity] = _InHand(piece, result, [piece.delivery])
                self._pool.submit(hand.turn, partial(self._act, consumer, hand))
                continue
            acted = piece.identity in self._acting and not piece.fresh
            settled += self._acting.pop(piece.identity).deliveries if acted else [piece.delivery]
            self._count(piece, result)
        consumer.reject([delivery for delivery in settled if delivery.size])
        consumer.settle([delivery for delivery in settled if not delivery.size])
        self._in_process.dec(len(settled))

    def _count(self, piece: _Piece, result: Settled | Act) -> None:
        status = "duplicate" if result is _DUPLICATE else _STATUS.get(type(result), "")  # type: ignore[arg-type]
        self._metrics.processed.labels(self.queue, status if piece.event else "parked").inc()
        self._seconds.observe(monotonic() - piece.since)

    def _act(self, consumer: Consumer, hand: _InHand) -> None:
        hand.begun = monotonic()
        step: Callable[[Tx], Settled | Act] | None = None
        try:
            with tracing.handling(hand.piece.event, self.queue, "act"):
                step = _acted(hand.act)
        except Exception as error:  # noqa: BLE001  # of what surrounds the act: one without an outcome is never settled
            step = step or _then(hand.act.fail, _unexpected(error))
            _log.exception("act.unexpected")
        finally:
            if step is not None:
                self._finished.put(replace(hand.piece, step=step, fresh=False))
                consumer.wake()


def _acted(act: Act) -> Callable[[Tx], Settled | Act]:
    """Do it; what is to be written down then."""
    try:
        return _then(act.record, act.run())
    except Failed as failure:
        return _then(act.fail, failure.cause)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  # becomes a cause like any other
        _log.exception("act.unexpected")
        return _then(act.fail, _unexpected(error))


def _taken(delivery: Delivery, event: Event[Any]) -> Fingerprint:
    sender = sender_of(delivery)
    # Our own services may log in as somebody else tomorrow, and say again what they said.
    return Fingerprint(codec.digest(event), sender.user_id if sender.is_producer else "")


def _then(step: Callable[..., Settled | Act], *arguments: Any) -> Callable[[Tx], Settled | Act]:
    return lambda tx: step(tx, *arguments)


def _unexpected(error: BaseException) -> Cause:
    # The error's own text may quote what it choked on, which may be a secret: it stays in the log.
    return MESSAGES.cause("unexpected", f"{type(error).__name__}, which nothing here foresees")
