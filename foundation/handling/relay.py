"""The relay: publishes the outbox, and deletes what the broker has confirmed."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic, sleep

import structlog

from foundation.broker import Confirmation, Message, Publisher
from foundation.broker.delay import destination
from foundation.broker.topology import Topology
from foundation.clock import Now
from foundation.errors import SitecrewError, StoreUnreachable
from foundation.handling.pace import TOGETHER
from foundation.handling.unit_of_work import DELAYED
from foundation.store import Store, outbox
from foundation.store.outbox import OutboxMessage
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics

_BATCH = 1000
_BUSY = 10
"""After so many rows at once, the relay waits `TOGETHER` seconds for more: an order alone never waits."""
_SWEEP = 5.0
"""Seconds between sweeps for rows that are left over from a crash or an unconfirmed publish."""
_CLAIM = timedelta(seconds=60)
_TIMEOUT = 30.0
"""Seconds to wait for confirms; well within `_CLAIM`."""
_HOLD = timedelta(seconds=10)
"""Pause before publishing again a message that the broker rejected or could not route."""

_NOT_OURS = (
    "a queue or a binding is missing, and our user may not declare anything: an administrator must run "
    "`sitecrew topology declare`"
)

_log = structlog.get_logger(__name__)


class Relay:
    """Publishes what transactions hand over at once, and sweeps up what is left in the outbox."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        topology: Topology,
        now: Now,
        metrics: Metrics | None = None,
        heartbeats: Heartbeats | None = None,
        declare: Callable[[], bool] = lambda: True,
    ) -> None:
        """`declare` declares the topology, or returns False if it may not; called when a message is unroutable. It may
        raise SitecrewError."""
        self._declare = declare
        self._metrics = metrics or Metrics()
        self._heartbeats = heartbeats or Heartbeats()
        self._store = store
        self._publisher = publisher
        self._topology = topology
        self._now = now
        self._handed: SimpleQueue[tuple[datetime, list[OutboxMessage]]] = SimpleQueue()
        """Rows to publish, with the time at which our claim on them ends."""

    def hand_over(self, rows: list[OutboxMessage], ours_until: datetime) -> None:
        """Queue rows for publishing, claimed until `ours_until`. They stay in the store if this process dies."""
        if rows:
            self._handed.put((ours_until, rows))

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set, and then until everything that was handed over is published."""
        swept = -inf
        while not (stop.is_set() and self._handed.empty()):
            self._heartbeats.beat("relay")
            try:
                # By the clock, not when idle: under load, the relay may never be idle.
                if not stop.is_set() and monotonic() - swept >= _SWEEP:
                    self.sweep()
                    swept = monotonic()
                wait = 0.5 if stop.is_set() else max(0.0, swept + _SWEEP - monotonic())
                self.run_once(wait, linger=TOGETHER)
            except StoreUnreachable as error:
                _log.warning("store.unreachable", reason=str(error))
                stop.wait(1)
        self._heartbeats.end("relay")

    def interrupt(self) -> None:
        """Make `run` check `stop` at once."""
        self._handed.put((self._now(), []))

    def run_once(self, timeout: float, *, linger: float = 0.0) -> int:
        """Publish what was handed over, waiting up to `timeout` seconds for it, and if it is much, `linger` seconds for
        more; return the number of rows."""
        rows = self._collect(timeout)
        if linger and _BUSY <= len(rows) < _BATCH:
            sleep(linger)
            rows += self._collect(0)
        if rows:
            self._publish(rows)
        return len(rows)

    def sweep(self) -> int:
        """Publish unclaimed rows for as long as the broker accepts them; return how many were attempted."""
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
                # Rows that waited too long behind a slow broker are left to the next sweep: another relay may already
                # be publishing them.
                rows += handed if self._now() < ours_until else ()
                if len(rows) >= _BATCH:
                    break
                ours_until, handed = self._handed.get_nowait()
        except Empty:
            pass
        return rows

    def _publish(self, rows: Sequence[OutboxMessage]) -> int:
        """Publish rows; return how many need no retry."""
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
        self._log_kept(kept)
        if any(outcome == Confirmation.UNROUTABLE for _, outcome in kept):
            self._declare_again()
        return len(rows) - len(kept)

    def _log_kept(self, kept: Sequence[tuple[OutboxMessage, Confirmation]]) -> None:
        """Log one line per kind of message: while a broker is away, there may be thousands."""
        alike: dict[tuple[Confirmation, str, str], list[str]] = {}
        for row, outcome in kept:
            alike.setdefault((outcome, row.type, row.exchange), []).append(row.message_id)
        for (outcome, type, exchange), ids in alike.items():
            names = {"type": type, "exchange": exchange, "message_id": ids[-1]}
            _log.error("outbox.kept", outcome=outcome, messages=len(ids), **names)

    def _declare_again(self) -> None:
        """Somebody has deleted a queue: declare it again, so that the rows reach it when they are retried."""
        try:
            declared = self._declare()
        except SitecrewError as error:
            _log.warning("topology.not_declared", reason=str(error))
        else:
            if declared:
                _log.warning("topology.declared_again")
            else:
                _log.warning("topology.not_declared", reason=_NOT_OURS)

    def _published(self, rows: Sequence[OutboxMessage]) -> list[Confirmation]:
        with self._metrics.published_seconds.time():
            outcomes = self._publisher.publish([self._message(row) for row in rows], _TIMEOUT)
        for (exchange, outcome), count in Counter(zip((row.exchange for row in rows), outcomes, strict=True)).items():
            self._metrics.published.labels(exchange, outcome).inc(count)
        return outcomes

    def _within_reach(
        self, rows: Sequence[OutboxMessage]
    ) -> tuple[list[OutboxMessage], list[tuple[OutboxMessage, datetime]]]:
        """Split rows into those that can be published now, and those that are due beyond the ladder's longest delay,
        with the time from which they will be within it."""
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
