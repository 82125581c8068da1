"""What a service is made of: lanes that consume, loops of another kind, and what is done now and then."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import structlog
from sqlalchemy import Connection

from foundation.broker import Broker
from foundation.clock import Now
from foundation.errors import SitecrewError
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Handlers
from foundation.handling.unit_of_work import Database
from foundation.handling.worker import DEADLINE, OnDuplicate, OnMalformed, Worker
from foundation.store import Store
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics

Loop = Callable[[threading.Event], None]
"""Runs until the event is set, finishes what it has begun, and returns."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Lane:
    """One queue and what handles it, at most `capacity` deliveries at a time, with `threads` for their effects; where
    those are quick, at most `most`."""

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


@dataclass(frozen=True)
class Periodic:
    """Something done every so many seconds, and until the lanes have finished. What fails is logged and tried again
    the next time: a task that never succeeds must not end what the service is there for."""

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
    """A figure by state, read from the store when Prometheus asks."""

    name: str
    meaning: str
    read: Callable[[Connection], Mapping[Any, float]]
    label: str = "state"

    @classmethod
    def of_one(cls, name: str, meaning: str, read: Callable[[Connection], float]) -> Self:
        """One figure for all."""
        return cls(name, meaning, lambda connection: {"": read(connection)}, "")


@dataclass(frozen=True)
class Parts:
    """What a service stands on."""

    store: Store
    broker: Broker
    database: Database
    now: Now
    metrics: Metrics = field(default_factory=Metrics)
    heartbeats: Heartbeats = field(default_factory=Heartbeats)

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
            metrics=self.metrics,
            heartbeats=self.heartbeats,
        )

    def loop(self, lane: Lane) -> Loop:
        """Handles one queue without pause."""
        worker = self.worker(lane)

        def loop(stop: threading.Event) -> None:
            worker.run(self.broker.consumer(lane.queue, lane.capacity), stop)
            worker.close()

        return loop


class Service(Protocol):
    """What `serve` runs, and tests drive step by step."""

    def lanes(self) -> Sequence[Lane]:
        """The queues that it consumes without pause."""

    def loops(self) -> Sequence[Loop]:
        """What else runs without pause."""

    def periodic(self) -> Sequence[Periodic]:
        """What it does now and then."""

    def gauges(self) -> Sequence[Gauge]:
        """What it shows of its store."""
