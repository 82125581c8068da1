"""The relay: publishes the outbox and forgets what the broker has confirmed."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic

import structlog

from foundation.broker import Confirmation, Message, Publisher
from foundation.broker.delay import destination
from foundation.broker.topology import Topology
from foundation.clock import Now
from foundation.errors import SitecrewError, StoreUnreachable
from foundation.handling.unit_of_work import BORN_CLAIMED, DELAYED
from foundation.store import Store, outbox
from foundation.store.outbox import OutboxMessage
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics

_BATCH = 1000
_SWEEP = 5.0
"""Seconds between looks for rows that nobody handed over: a crash left them, or a broker's no."""
_CLAIM = timedelta(seconds=60)
_TIMEOUT = 30.0
"""Seconds to wait for confirms; well within the claim."""
_HOLD = timedelta(seconds=10)
"""Pause before a message that the broker refused or could not route is tried again."""

_log = structlog.get_logger(__name__)


class Relay:
    """Publishes what transactions hand over, at once, and sweeps up what they could not."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        topology: Topology,
        now: Now,
        metrics: Metrics | None = None,
        heartbeats: Heartbeats | None = None,
        declare: Callable[[], None] = lambda: None,
    ) -> None:
        """`declare` puts the topology on the broker: called when a message finds no queue. May raise SitecrewError."""
        self._declare = declare
        self._metrics = metrics or Metrics()
        self._heartbeats = heartbeats or Heartbeats()
        self._store = store
        self._publisher = publisher
        self._topology = topology
        self._now = now
        self._handed: SimpleQueue[tuple[datetime, list[OutboxMessage]]] = SimpleQueue()
        """With the time from which they are anybody's."""

    def hand_over(self, rows: list[OutboxMessage]) -> None:
        """Publish these soon. They are claimed already, and survive in the store if we do not."""
        if rows:
            self._handed.put((self._now() + BORN_CLAIMED, rows))

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, and then until everything handed over is published."""
        swept = -inf
        while not (stop.is_set() and self._handed.empty()):
            self._heartbeats.beat("relay")
            try:
                # By the clock, not when there is nothing else to do: that may never be.
                if not stop.is_set() and monotonic() - swept >= _SWEEP:
                    self.sweep()
                    swept = monotonic()
                self.run_once(timeout=0.5 if stop.is_set() else max(0.0, swept + _SWEEP - monotonic()))
            except StoreUnreachable as error:
                _log.warning("store.unreachable", reason=str(error))
                stop.wait(1)
        self._heartbeats.end("relay")

    def interrupt(self) -> None:
        """Make `run` look whether it is to stop."""
        self._handed.put((self._now(), []))

    def run_once(self, timeout: float) -> int:
        """Publish what was handed over, waiting up to `timeout` seconds for it; how many rows."""
        rows = self._collect(timeout)
        if rows:
            self._publish(rows)
        return len(rows)

    def sweep(self) -> int:
        """Publish rows that are nobody's, as long as the broker takes them; how many were tried."""
        total = 0
        while True:
            now = self._now()
            with self._store.transaction() as connection:
                rows = outbox.claim(connection, now, now + _CLAIM, _BATCH)
            taken = self._publish(rows) if rows else 0
            total += len(rows)
            if len(rows) < _BATCH or not taken:
                return total

    def _collect(self, timeout: float) -> list[OutboxMessage]:
        rows: list[OutboxMessage] = []
        try:
            ours_until, handed = self._handed.get(timeout=timeout)
            while True:
                # What waited for too long, behind a slow broker, is left to the next sweep: another
                # relay may be publishing it already.
                rows += handed if self._now() < ours_until else ()
                if len(rows) >= _BATCH:
                    break
                ours_until, handed = self._handed.get_nowait()
        except Empty:
            pass
        return rows

    def _publish(self, rows: Sequence[OutboxMessage]) -> int:
        """How many of them are dealt with."""
        near, far = self._within_reach(rows)
        outcomes = self._published(near)
        kept = [
            (row, outcome) for row, outcome in zip(near, outcomes, strict=True) if outcome != Confirmation.CONFIRMED
        ]
        confirmed = [row.id for row, outcome in zip(near, outcomes, strict=True) if outcome == Confirmation.CONFIRMED]
        with self._store.transaction() as connection:
            outbox.remove(connection, confirmed)
            outbox.hold(connection, [row.id for row, _ in kept], self._now() + _HOLD)
            for row, reachable in far:
                outbox.hold(connection, [row.id], reachable)
        self._complain(kept)
        if any(outcome == Confirmation.UNROUTABLE for _, outcome in kept):
            self._furnish()
        return len(rows) - len(kept)

    def _complain(self, kept: Sequence[tuple[OutboxMessage, Confirmation]]) -> None:
        """One line for all that are alike: while a broker is away there may be thousands."""
        alike: dict[tuple[Confirmation, str, str], list[str]] = {}
        for row, outcome in kept:
            alike.setdefault((outcome, row.type, row.exchange), []).append(row.message_id)
        for (outcome, type, exchange), ids in alike.items():
            names = {"type": type, "exchange": exchange, "message_id": ids[-1]}
            _log.error("outbox.kept", outcome=outcome, messages=len(ids), **names)

    def _furnish(self) -> None:
        """Somebody has deleted a queue: the rows find it there when they are tried again."""
        try:
            self._declare()
        except SitecrewError as error:
            _log.warning("topology.not_declared", reason=str(error))
        else:
            _log.warning("topology.declared_again")

    def _published(self, rows: Sequence[OutboxMessage]) -> list[Confirmation]:
        with self._metrics.published_seconds.time():
            outcomes = self._publisher.publish([self._message(row) for row in rows], _TIMEOUT)
        for (exchange, outcome), count in Counter(zip((row.exchange for row in rows), outcomes, strict=True)).items():
            self._metrics.published.labels(exchange, outcome).inc(count)
        return outcomes

    def _within_reach(
        self, rows: Sequence[OutboxMessage]
    ) -> tuple[list[OutboxMessage], list[tuple[OutboxMessage, datetime]]]:
        """What can be published now, and what is due later than the ladder reaches, with the time
        from which it does."""
        near: list[OutboxMessage] = []
        far: list[tuple[OutboxMessage, datetime]] = []
        now, reach = self._now(), timedelta(seconds=self._topology.ladder.reach_seconds)
        for row in rows:
            if row.due_at and row.due_at - reach > now:
                far.append((row, row.due_at - reach))
            else:
                near.append(row)
        return near, far

    def _message(self, row: OutboxMessage) -> Message:
        exchange, routing_key, mandatory = row.exchange, row.routing_key, True
        if row.exchange == DELAYED and row.due_at is not None:
            exchange, routing_key = self._topology.ladder.route(destination(row.routing_key), row.due_at, self._now())
        else:
            mandatory = self._topology.expects(exchange, routing_key)
        return Message(
            exchange=exchange,
            routing_key=routing_key,
            body=row.body,
            message_id=row.message_id,
            type=row.type,
            correlation_id=row.correlation_id,
            content_type=row.content_type,
            headers=row.headers,
            mandatory=mandatory,
        )
