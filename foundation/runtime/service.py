"""Running a service: open what it needs, run its loops, stop them in the right order."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TypeVar

import structlog

from foundation.broker import Broker
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import sitecrew
from foundation.errors import BrokerUnreachable, SitecrewError, StoreUnreachable
from foundation.runtime import logs
from foundation.runtime.clock import Now, utc_now
from foundation.runtime.relay import Relay
from foundation.runtime.settings import Settings
from foundation.runtime.tx import Ledger
from foundation.runtime.worker import Worker
from foundation.store import Store, inbox

Loop = Callable[[threading.Event], None]
"""Runs until the event is set, finishes what it has begun, and returns."""

_INBOX_KEPT = timedelta(days=14)
_PAUSE = 2.0
"""Seconds between attempts to reach the broker or the store at start."""

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
    ledger: Ledger
    now: Now

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
    return RabbitBroker(settings.amqp_url.get_secret_value().split(","), sitecrew(ladder), name)


def serve(
    name: str,
    settings: Settings,
    store_url: str,
    migrations: Path,
    loops: Callable[[Service], Sequence[Loop]],
) -> int:
    """Run a service until SIGTERM or SIGINT; then finish what is begun. A second signal ends it at
    once. Returns the exit code: 1 if a loop broke."""
    logs.configure(name, settings.log.level)
    stop = _stop_on_signals()
    store, broker = Store(store_url), broker_of(settings, f"sitecrew {name}")
    if not _until_reached(lambda: store.migrate([migrations]), stop) or not _until_reached(broker.declare, stop):
        return 0
    relay = Relay(store, broker.publisher(), broker.topology, utc_now)
    service = Service(name, store, broker, Ledger(store, name, utc_now, relay.hand_over), utc_now)
    _log.info("service.started", store=store.place)
    broken = _run(service, loops(service), relay, stop)
    broker.close()
    store.close()
    _log.info("service.stopped", broken=broken)
    return 1 if broken else 0


def _run(service: Service, loops: Sequence[Loop], relay: Relay, stop: threading.Event) -> list[str]:
    broken: list[str] = []

    def guarded(loop: Loop, ends: threading.Event) -> None:
        try:
            loop(ends)
        except Exception as error:  # noqa: BLE001  # it ends the service, whose supervisor starts it anew
            _log.exception("service.broken")
            broken.append(type(error).__name__)
            stop.set()

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
    relay.wake()
    for thread in behind:
        thread.join()
    return broken


def _is_chore(loop: Loop) -> bool:
    return isinstance(loop, Chore)


def _until_reached(attempt: Callable[[], object], stop: threading.Event) -> bool:
    """Broker and database may start after us: wait for them, saying so. False if told to stop."""
    while not stop.is_set():
        try:
            attempt()
        except (BrokerUnreachable, StoreUnreachable) as error:
            _log.warning("service.waiting", reason=str(error))
            stop.wait(_PAUSE)
        else:
            return True
    return False


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop
