"""The timer: at each tick, one batch of what is due."""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf
from time import monotonic

import structlog

from foundation.broker import Consumer, Delivery
from foundation.clock import Now
from foundation.config.settings import Timer
from foundation.errors import SitecrewError
from foundation.handling.worker import Worker
from foundation.telemetry.metrics import Metrics, Tick

_LOOK = 60.0
"""Seconds between looks at the clock."""
_DRY = 0.3
"""Seconds without a delivery after which the queue's depth is asked for."""

_log = structlog.get_logger(__name__)


class Limited:
    """A consumer of which so many deliveries are taken, and no more are handed out."""

    def __init__(self, consumer: Consumer, most: float) -> None:
        self.left = most
        """How many may still be taken."""
        self._consumer = consumer
        self._interrupted = threading.Event()
        self.allow, self.cease, self.reject, self.close = (
            consumer.allow,
            consumer.cease,
            consumer.reject,
            consumer.close,
        )

    def interrupt(self) -> None:
        self._interrupted.set()
        self._consumer.interrupt()

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        if not self.left:  # something may have arrived all the same
            self._interrupted.wait(timeout)
            self._interrupted.clear()
            return []
        taken = self._consumer.take(int(min(limit, self.left)), timeout)
        self.left -= len(taken)
        return taken

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge. For each that is settled the broker hands out another, if it may."""
        for_others = int(min(self.left, len(deliveries)))
        self._consumer.settle(deliveries[:for_others])
        if for_others < len(deliveries):
            self._consumer.cease()
            self._consumer.settle(deliveries[for_others:])


class Batches:
    """Opens the queue at each tick, works until it is dry, the time budget ends or the timer is paused, settles
    everything and closes it. Between ticks it holds no message."""

    def __init__(
        self,
        timer: Timer,
        worker: Worker,
        consume: Callable[[], Consumer],
        depth: Callable[[], int | None],
        now: Now,
        tick: Tick | None = None,
        is_paused: Callable[[], bool] = lambda: False,
        most: int = 0,
    ) -> None:
        """A batch takes `most` messages at most; 0: any number."""
        self._timer = timer
        self._worker = worker
        self._consume = consume
        self._depth = depth
        self._now = now
        self._punctual = tick or Metrics().tick()
        self._is_paused = is_paused
        self._most = most
        self._called = threading.Event()
        self.upcoming: datetime | None = None
        """The tick that is waited for."""

    def run_now(self) -> None:
        """Do not wait for the next tick."""
        self._called.set()

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`, which also cuts a batch short: what it has begun is finished."""
        threading.Thread(target=self._call_at, args=(stop,), daemon=True).start()
        while not stop.is_set():
            tick = self._wait()
            if stop.is_set():
                break
            try:
                if not self._is_held(tick):
                    self.run_once(stop, tick)
            except SitecrewError as error:  # also a permission that was taken away: the next tick looks again
                _log.warning("batch.interrupted", reason=str(error))
        self._worker.close()

    def run_once(self, stop: threading.Event, tick: datetime | None = None) -> int:
        """One batch; how many turns had something to do."""
        began, handled, dry = monotonic(), 0, False
        late = self._lateness(tick)
        consumer = Limited(self._consume(), self._most or inf)
        try:
            while not (stop.is_set() or self._is_held(tick) or monotonic() - began > self._timer.budget_seconds):
                turned = self._worker.run_once(consumer, _DRY)
                handled += turned
                if turned or not self._worker.idle:
                    dry = False
                elif dry or not consumer.left:
                    break
                else:
                    # What has been handed to us is not counted, and may come a moment later: look again.
                    # Behind an act that hangs, and its message, which has come again, nothing else may come.
                    dry = self._worker.overdue() > 0 or not self._depth()
        finally:
            self._worker.drain(consumer)
        if handled:
            seconds = round(monotonic() - began, 3)
            _log.info("batch.finished", turns=handled, late_seconds=round(late, 3), duration_seconds=seconds)
        return handled

    def _is_held(self, tick: datetime | None) -> bool:
        """Whether staff have paused the timer. Their own call is a batch all the same."""
        return tick is not None and self._is_paused()

    def _lateness(self, tick: datetime | None) -> float:
        late = (self._now() - tick).total_seconds() if tick else 0.0
        self._punctual.lateness.set(late)
        return late

    def _call_at(self, stop: threading.Event) -> None:
        stop.wait()
        self._called.set()

    def _wait(self) -> datetime | None:
        """Until the next tick that is still to come, or until called; the tick, if that was it."""
        now, jitter = self._now(), random.uniform(0, self._timer.jitter_seconds)
        tick = next(self._timer.ticks(now))
        while True:
            self.upcoming = tick
            self._punctual.upcoming.set(tick.timestamp())
            pause = (tick - now).total_seconds() + jitter
            if self._called.wait(min(max(pause, 0.0), _LOOK)):
                self._called.clear()
                return None
            if pause <= _LOOK:
                return tick
            # A clock that is put right meanwhile must not have the batch wait for what was wrong.
            now = self._now()
            tick = min(tick, next(self._timer.ticks(now)))
