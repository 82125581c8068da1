"""What a service consists of: lanes that consume queues, other loops, and periodic tasks."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import structlog
from sqlalchemy import Connection

from foundation.broker import Broker
from foundation.broker.turns import Turns
from foundation.clock import Now
from foundation.errors import SitecrewError
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Handlers
from foundation.handling.unit_of_work import Database
from foundation.handling.worker import DEADLINE, OnDuplicate, OnMalformed, Worker
from foundation.service.broadcast import Tell, tell_nobody
from foundation.store import Store
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics

Loop = Callable[[threading.Event], None]
"""Runs until the event is set, finishes what it has begun, and returns."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Lane:
    """One queue and its handlers: up to `capacity` deliveries at a time, with `threads` for their effects; up to `most`
    while those are quick."""

    queue: str
    handlers: Handlers
    capacity: int
    threads: int = 1
    most: int = 0
    deadline: float = DEADLINE
    """Seconds that an effect may take."""
    leases: Leases | None = None
    on_malformed: OnMalformed | None = None
    on_duplicate: OnDuplicate | None = None
    vouching: frozenset[str] = frozenset()
    """The broker's users who may say who asked for something that comes from producers."""
    turns: Turns | None = None
    """The queue with more and less urgent ones beside it."""

    @property
    def source(self) -> str | Turns:
        """What to consume."""
        return self.turns or self.queue


@dataclass(frozen=True)
class Periodic:
    """A task that runs every `seconds` until the lanes have finished. A failure is logged, and the task runs again next
    time: a task that never succeeds must not end the service."""

    name: str
    seconds: float
    do: Callable[[], object]

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self.seconds):
            try:
                self.do()
            except SitecrewError as error:
                _log.warning("periodic.failed", task=self.name, reason=str(error))
            except Exception:  # noqa: BLE001  # see above
                _log.exception("periodic.failed", task=self.name)


@dataclass(frozen=True)
class Gauge:
    """A metric by state, read from the store when Prometheus scrapes it."""

    name: str
    meaning: str
    read: Callable[[Connection], Mapping[Any, float]]
    label: str = "state"

    @classmethod
    def of_one(cls, name: str, meaning: str, read: Callable[[Connection], float]) -> Self:
        """Create a gauge with a single value."""
        return cls(name, meaning, lambda connection: {"": read(connection)}, "")


@dataclass(frozen=True)
class Parts:
    """What a service is built on."""

    store: Store
    broker: Broker
    database: Database
    now: Now
    metrics: Metrics = field(default_factory=Metrics)
    heartbeats: Heartbeats = field(default_factory=Heartbeats)
    tell: Tell = tell_nobody
    """Publishes what may be lost."""

    def worker(self, lane: Lane) -> Worker:
        return Worker(
            lane.queue,
            lane.handlers,
            self.database,
            capacity=lane.capacity,
            most=lane.most,
            threads=lane.threads,
            deadline=lane.deadline,
            leases=lane.leases,
            on_malformed=lane.on_malformed,
            on_duplicate=lane.on_duplicate,
            vouching=lane.vouching,
            metrics=self.metrics,
            heartbeats=self.heartbeats,
        )

    def loop(self, lane: Lane) -> Loop:
        """Return the loop that handles one lane until it is stopped."""
        worker = self.worker(lane)

        def loop(stop: threading.Event) -> None:
            worker.run(self.broker.consumer(lane.source, lane.capacity), stop)
            worker.close()

        return loop


class Service(Protocol):
    """What `serve` runs, and what tests drive step by step."""

    def lanes(self) -> Sequence[Lane]:
        """Return the queues that it consumes, with their handlers."""

    def loops(self) -> Sequence[Loop]:
        """Return other loops that run until they are stopped."""

    def periodic(self) -> Sequence[Periodic]:
        """Return its periodic tasks."""

    def vitals(self) -> Mapping[str, Any]:
        """Return what its heartbeats say besides what those of every service do."""

    def gauges(self) -> Sequence[Gauge]:
        """Return the metrics that are read from its store."""
