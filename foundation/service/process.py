"""Run a service: open what it needs, run its loops, and stop them in the right order."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog
from pydantic import SecretStr

from foundation.broker import Broker
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import Topology
from foundation.clock import SharedClock
from foundation.config.queues import sitecrew
from foundation.config.rights import USERS
from foundation.config.settings import Settings, load
from foundation.errors import BrokerUnreachable, SitecrewError
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database, Load
from foundation.service.broadcast import Broadcast
from foundation.service.dependencies import Dependencies
from foundation.service.heartbeat import heartbeat
from foundation.service.lanes import Gauge, Loop, Parts, Periodic, Service
from foundation.service.signals import Stop, stop_on_signals
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


_INBOX_KEPT = timedelta(days=14)

_LOOK_AT_CLOCK = 20.0
"""Seconds between readings of the store's clock."""

_log = structlog.get_logger(__name__)


def broker_of(settings: Settings, who: str, topology: Callable[[Ladder], Topology] = sitecrew) -> RabbitBroker:
    """Create the broker that the settings name, for a service or a command, without opening a connection."""
    whole = topology(Ladder(settings.delay.unit_ms, settings.delay.levels))
    user = USERS.get(who)
    return RabbitBroker(
        [settings.amqp_url.get_secret_value()],
        replace(whole, needed=user.needs(whole)) if user else whole,
        f"sitecrew {who}",
        patience=settings.amqp_timeout_seconds,
        probe_timeout=settings.amqp_probe_timeout_seconds,
        tls=settings.amqp_tls.files(),
    )


def serve(
    name: str,
    settings: Settings,
    own: Running,
    migrations: Path,
    load: Load[Any],
    make: Callable[[Parts], Service],
    topology: Callable[[Ladder], Topology] = sitecrew,
) -> int:
    """Run a service until SIGTERM or SIGINT, then finish what has begun; a second signal ends it at once.

    Returns the exit code: 0 only if a signal told it to end, and everything else went well.
    """
    open_standard_streams()
    metrics, heartbeats = Metrics(name), Heartbeats()
    logs.configure(name, settings.log.level, sys.stdout, metrics.log_lines_dropped)
    stop, working = stop_on_signals(), threading.Event()
    store, broker = Store(own.store_url.get_secret_value()), broker_of(settings, name, topology)
    exporting = tracing.exporting(name, settings.tracing.endpoint.get_secret_value())
    dependencies, clock = Dependencies("store", "broker"), SharedClock(store.time)

    def prepare() -> None:
        store.migrate([migrations])
        clock.read()

    probes = _probes(store, broker, dependencies, working, stop)
    with exporting, _health(name, own.listen, probes, metrics, heartbeats):
        if not dependencies.reach({"store": prepare, "broker": broker.declare}, stop):
            return _ended(stop)
        metrics.on_scrape(
            "clock_skew_seconds", "How far this machine's clock is ahead of the store's", "", lambda: {"": clock.skew}
        )
        publisher = broker.publisher()
        broadcast = Broadcast(publisher, name, clock.now)
        relay = Relay(store, publisher, broker.topology, clock.now, metrics, heartbeats, broker.declare)
        database = Database(store, name, clock.now, relay.hand_over, load)
        parts = Parts(store, broker, database, clock.now, metrics, heartbeats, broadcast.tell)
        made: list[Service] = []
        if not dependencies.reach({"store": lambda: made.append(make(parts))}, stop):  # it may be gone again by now
            return _ended(stop)
        service = made[0]
        loops = service.loops()  # from now on it can be reached, if it listens
        _export(parts, [*service.gauges(), Gauge.of_one("outbox_messages", "Messages to publish", outbox.backlog)])
        _log.info("service.started", store=store.place)
        gc.freeze()  # what the start has made stays; looking through it again costs some percent of the time
        gc.set_threshold(50_000)  # more than a batch of orders makes: its objects live to its end, and leave no circles
        working.set()
        alive = heartbeat(name, service.lanes(), service.vitals, parts.tell)
        alive.do()
        more = [alive, Periodic("look_at_clock", _LOOK_AT_CLOCK, clock.read)]
        broken = _run(parts, service, loops, more, relay, broadcast, stop)
        broker.close()
        store.close()
    return _ended(stop, broken)


def _last(loop: Loop, ends: threading.Event) -> None:
    """Run a loop until it is to end. Raises RuntimeError if it ends before."""
    loop(ends)
    if not ends.is_set():
        raise RuntimeError(f"{loop} ended by itself")


def _ended(stop: Stop, broken: Sequence[str] = ()) -> int:
    """Log how the service ended; return its exit code."""
    if broken or not stop.told_by:
        _log.error("service.stopped", broken=broken, reason=stop.told_by or "no signal told it to")
        return 1
    _log.info("service.stopped", broken=broken, reason=stop.told_by)
    return 0


def run_alone(main: Callable[[Settings], int]) -> int:
    """Run a service as a process of its own, with settings from the usual places. Returns its exit code: 2 for wrong
    settings."""
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
    metrics.on_scrape("ready", "1 if the probe succeeds, else 0", "probe", lambda: wellness(ready))
    metrics.on_scrape("overdue_acts", "Effects past their deadline", "queue", heartbeats.overdue)
    metrics.on_scrape("loop_silence_seconds", "Seconds since a loop's last heartbeat", "loop", heartbeats.ages)
    setting = f"{name.replace('-', '_')}.listen"
    server = HealthServer(address, setting, heartbeats.require_alive, ready, metrics.registry)
    _log.info("health.listening", port=server.port)
    try:
        yield
    finally:
        server.close()


def _probes(
    store: Store, broker: Broker, dependencies: Dependencies, working: threading.Event, stop: threading.Event
) -> dict[str, Probe]:
    """Return the probes that must succeed for the service to be ready."""

    def running() -> None:
        if stop.is_set() or not working.is_set():
            raise SitecrewError("stopping" if stop.is_set() else f"waiting for its {dependencies or 'loops'}")

    def connected() -> None:
        dependencies.require("broker")
        if lost := broker.disconnected():
            raise BrokerUnreachable(f"no connection for {', '.join(lost)}")
        if silent := broker.cut_off():
            raise BrokerUnreachable(f"the node reaches no majority of its cluster, as {', '.join(silent)} found")

    def answering() -> None:
        dependencies.require("store")
        with store.reading() as connection:
            outbox.is_empty(connection)  # any query will do, as long as it is cheap

    return {"service": running, "broker": connected, "store": answering}


def _export(parts: Parts, gauges: Sequence[Gauge]) -> None:
    """Read the gauges from the store whenever Prometheus scrapes."""

    def reading(gauge: Gauge) -> Callable[[], Mapping[str, float]]:
        def read() -> Mapping[str, float]:
            with parts.store.reading() as connection:
                return gauge.read(connection)

        return read

    for gauge in gauges:
        parts.metrics.on_scrape(gauge.name, gauge.meaning, gauge.label, reading(gauge))


def _run(
    parts: Parts,
    service: Service,
    loops: Sequence[Loop],
    more: Sequence[Periodic],
    relay: Relay,
    broadcast: Broadcast,
    stop: threading.Event,
) -> list[str]:
    """Run everything until `stop` is set or a loop fails; return the types of the errors."""
    broken: list[str] = []

    def guarded(loop: Loop, ends: threading.Event) -> None:
        try:
            _last(loop, ends)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the service ends, and its supervisor restarts it
            broken.append(type(error).__name__)
            stop.set()
            _log.exception("service.broken")

    def forget_old() -> None:
        with parts.store.transaction() as connection:
            inbox.forget_before(connection, parts.now() - _INBOX_KEPT)

    # The relay ends last: what the lanes commit while they finish must still be published. Periodic tasks run as long:
    # they renew the leases of work that is being finished, or another replica would take it over.
    last = threading.Event()
    tasks = [*service.periodic(), *more, Periodic("forget_old", 3600, forget_old)]
    lasting = [relay.run, broadcast.run, *(task.run for task in tasks)]
    consuming = [*map(parts.loop, service.lanes()), *loops]
    behind = [threading.Thread(target=guarded, args=(loop, last)) for loop in lasting]
    ahead = [threading.Thread(target=guarded, args=(loop, stop)) for loop in consuming]
    for thread in (*behind, *ahead):
        thread.start()
    stop.wait()
    for thread in ahead:
        thread.join()
    last.set()
    relay.interrupt()
    broadcast.interrupt()
    for thread in behind:
        thread.join()
    return broken
