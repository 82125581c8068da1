"""Running a service: open what it needs, run its loops, stop them in the right order."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from pydantic import SecretStr
from sqlalchemy import Connection

from foundation.broker import Broker
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.clock import Now, SharedClock
from foundation.config.queues import sitecrew
from foundation.config.settings import Settings, load
from foundation.errors import BrokerUnreachable, SitecrewError
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Handlers
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database
from foundation.handling.worker import DEADLINE, OnDuplicate, OnMalformed, Worker
from foundation.service.awaited import Awaited
from foundation.service.signals import stop_on_signals
from foundation.store import Store, inbox, outbox
from foundation.telemetry import logs, tracing
from foundation.telemetry.health import HealthServer, Heartbeats, Probe, wellness
from foundation.telemetry.metrics import Metrics
from foundation.telemetry.sink import open_standard_streams


class Running(Protocol):
    """The settings that every service has."""

    @property
    def store_url(self) -> SecretStr: ...

    @property
    def listen(self) -> str: ...


Loop = Callable[[threading.Event], None]
"""Runs until the event is set, finishes what it has begun, and returns."""

_INBOX_KEPT = timedelta(days=14)

_LOOK_AT_CLOCK = 20.0
"""Seconds between looks at the store's clock."""

_log = structlog.get_logger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Chore:
    """A loop that does something, pauses, and does it again. What fails is logged and tried again the
    next time: one that never succeeds must not end what the service is there for."""

    seconds: float
    do: Callable[[], object]

    def __call__(self, stop: threading.Event) -> None:
        while not stop.wait(self.seconds):
            try:
                self.do()
            except SitecrewError as error:
                _log.warning("chore.failed", chore=getattr(self.do, "__name__", ""), reason=str(error))
            except Exception:  # noqa: BLE001  # likewise
                _log.exception("chore.failed", chore=getattr(self.do, "__name__", ""))


@dataclass(frozen=True)
class Service:
    """What a service's loops stand on."""

    name: str
    store: Store
    broker: Broker
    database: Database
    now: Now
    metrics: Metrics = field(default_factory=Metrics)
    heartbeats: Heartbeats = field(default_factory=Heartbeats)

    def worker(
        self,
        queue: str,
        handlers: Handlers,
        capacity: int,
        threads: int = 1,
        on_malformed: OnMalformed | None = None,
        on_duplicate: OnDuplicate | None = None,
        deadline: float = DEADLINE,
        leases: Leases | None = None,
    ) -> Worker:
        """A worker for one queue, counted in the metrics. An effect of it may take `deadline` seconds, and is done
        under the `leases` of its claims."""
        return Worker(
            queue,
            handlers,
            self.database,
            capacity=capacity,
            threads=threads,
            on_malformed=on_malformed,
            on_duplicate=on_duplicate,
            deadline=deadline,
            leases=leases,
            metrics=self.metrics,
            heartbeats=self.heartbeats,
        )

    def count(self, name: str, meaning: str, read: Callable[[Connection], Mapping[Any, float]]) -> None:
        """A gauge by state, read from the store when it is asked for."""
        self.metrics.on_scrape(name, meaning, "state", lambda: self._read(read))

    def measure(self, name: str, meaning: str, read: Callable[[Connection], float]) -> None:
        """A gauge, likewise."""
        self.metrics.on_scrape(name, meaning, "", lambda: {"": self._read(read)})

    def _read(self, read: Callable[[Connection], Result]) -> Result:
        with self.store.reading() as connection:
            return read(connection)

    def consume(self, worker: Worker, prefetch: int) -> Loop:
        """A loop that handles one queue without pause."""

        def loop(stop: threading.Event) -> None:
            worker.run(self.broker.consumer(worker.queue, prefetch), stop)
            worker.close()

        return loop

    def every(self, seconds: float, chore: Callable[[], object]) -> Loop:
        """A loop that does a chore every so many seconds, and until the others have finished."""
        return Chore(seconds, chore)

    def forget_old(self) -> None:
        """Purge the inbox of what is too old to be delivered again."""
        with self.store.transaction() as connection:
            inbox.forget_before(connection, self.now() - _INBOX_KEPT)


def broker_of(settings: Settings, name: str) -> RabbitBroker:
    """The broker that the settings name; opens no connection yet."""
    ladder = Ladder(settings.delay.unit_ms, settings.delay.levels)
    return RabbitBroker(
        [settings.amqp_url.get_secret_value()],
        sitecrew(ladder),
        name,
        patience=settings.amqp_timeout_seconds,
        tls=settings.amqp_tls.files(),
    )


def serve(
    name: str,
    settings: Settings,
    own: Running,
    migrations: Path,
    loops: Callable[[Service], Sequence[Loop]],
) -> int:
    """Run a service until SIGTERM or SIGINT; then finish what is begun. A second signal ends it at
    once. Returns the exit code: 1 if a loop broke."""
    open_standard_streams()
    metrics, heartbeats = Metrics(name), Heartbeats()
    logs.configure(name, settings.log.level, sys.stdout, metrics.log_lines_dropped)
    stop, working = stop_on_signals(), threading.Event()
    store, broker = Store(own.store_url.get_secret_value()), broker_of(settings, f"sitecrew {name}")
    exporting = tracing.exporting(name, settings.tracing.endpoint.get_secret_value())
    awaited, clock = Awaited("store", "broker"), SharedClock(store.time)

    def prepare() -> None:
        store.migrate([migrations])
        clock.read()

    probes = _probes(store, broker, awaited, working, stop)
    with exporting, _health(name, own.listen, probes, metrics, heartbeats):
        if not awaited.reach({"store": prepare, "broker": broker.declare}, stop):
            return 0
        metrics.on_scrape("clock_skew_seconds", "How far this machine's clock is ahead", "", lambda: {"": clock.skew})
        relay = Relay(store, broker.publisher(), broker.topology, clock.now, metrics, heartbeats, broker.declare)
        database = Database(store, name, clock.now, relay.hand_over)
        service = Service(name, store, broker, database, clock.now, metrics, heartbeats)
        service.measure("outbox_messages", "Messages that wait to be published", outbox.backlog)
        _log.info("service.started", store=store.place)
        working.set()
        broken = _run(service, [*loops(service), service.every(_LOOK_AT_CLOCK, clock.read)], relay, stop)
        broker.close()
        store.close()
    _log.info("service.stopped", broken=broken)
    return 1 if broken else 0


def run_alone(main: Callable[[Settings], int]) -> int:
    """A service by itself, with the settings where they usually are. Returns its exit code: 2 for wrong settings."""
    try:
        return main(load())
    except SitecrewError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


@contextmanager
def _health(
    name: str, address: str, ready: dict[str, Probe], metrics: Metrics, heartbeats: Heartbeats
) -> Iterator[None]:
    if not address:
        yield
        return
    metrics.on_scrape("ready", "1 for what is well of what the service needs, else 0", "probe", lambda: wellness(ready))
    metrics.on_scrape("overdue_acts", "Acts that are past their deadline", "queue", heartbeats.overdue)
    metrics.on_scrape("loop_silence_seconds", "Seconds since a loop's last heartbeat", "loop", heartbeats.ages)
    setting = f"{name.replace('-', '_')}.listen"
    server = HealthServer(address, setting, heartbeats.require_alive, ready, metrics.registry)
    _log.info("health.listening", port=server.port)
    try:
        yield
    finally:
        server.close()


def _probes(
    store: Store, broker: Broker, awaited: Awaited, working: threading.Event, stop: threading.Event
) -> dict[str, Probe]:
    """What must be well for the service to be ready."""

    def running() -> None:
        if stop.is_set() or not working.is_set():
            raise SitecrewError("it is stopping" if stop.is_set() else f"it waits for its {awaited or 'loops'}")

    def connected() -> None:
        awaited.require("broker")
        if lost := broker.disconnected():
            raise BrokerUnreachable(f"no connection for {', '.join(lost)}")

    def answering() -> None:
        awaited.require("store")
        with store.reading() as connection:
            outbox.is_empty(connection)  # any look will do, as often as a supervisor asks

    return {"service": running, "broker": connected, "store": answering}


def _run(service: Service, loops: Sequence[Loop], relay: Relay, stop: threading.Event) -> list[str]:
    broken: list[str] = []

    def guarded(loop: Loop, ends: threading.Event) -> None:
        try:
            loop(ends)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the service, whose supervisor starts it anew
            broken.append(type(error).__name__)
            stop.set()
            _log.exception("service.broken")

    # The relay ends last: what the others commit while they finish is still to be published. The chores
    # go on as long: leases of what is being finished must be renewed, or another replica takes it over.
    last = threading.Event()
    lasting = [relay.run, service.every(3600, service.forget_old), *filter(_is_chore, loops)]
    behind = [threading.Thread(target=guarded, args=(loop, last)) for loop in lasting]
    ahead = [threading.Thread(target=guarded, args=(loop, stop)) for loop in loops if not _is_chore(loop)]
    for thread in (*behind, *ahead):
        thread.start()
    for thread in ahead:
        thread.join()
    last.set()
    relay.interrupt()
    for thread in behind:
        thread.join()
    return broken


def _is_chore(loop: Loop) -> bool:
    return isinstance(loop, Chore)
