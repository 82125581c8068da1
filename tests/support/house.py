"""Run all three services in one process: memory broker, real SQLite stores, a clock that the test moves.

Only what cannot be run here is faked: the hosting server, the site installer and the SMTP server.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import pytest

from foundation.broker import Consumer, Delivery, Message, Publisher, codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import PARKING
from foundation.config.keys import Opener, generate_keys
from foundation.config.queues import sitecrew
from foundation.config.settings import Settings
from foundation.errors import Failed
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database, new_id
from foundation.hosting import Account, AccountRequest, Databases, Server
from foundation.service import lanes as made
from foundation.service.lanes import Lane, Parts
from foundation.store import Store
from foundation.telemetry.metrics import Metrics
from foundation.testing.memory import MemoryBroker
from schemas import catalogue
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from schemas.values import CauseKind, Model
from services.installer import service as installer
from services.installer.installs import INSTALLS, Install
from services.installer.sites import InstalledSite, Job, Step
from services.installer.states import State
from services.mailer import service as mailer
from services.mailer.letter.envelope import Letter
from services.mailer.letter.rendering import Letters
from services.order_intake import service as order_intake
from tests.support.rights import Vetted

if TYPE_CHECKING:
    from foundation.handling.worker import Worker

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""A trace that a producer started."""

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

PATIENCE = 60.0
"""Seconds to wait for what must happen, on a machine that may be busy."""


class Killed(BaseException):
    """The process dies here. Raised in an effect, it leaves the effect without any outcome, like a kill."""


@cache
def new_database(*migrations: Path) -> bytes:
    """Return a migrated, empty SQLite database to copy: migrating one takes longer than most tests."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "new.db"
        store = Store(f"sqlite:///{file}")
        store.migrate(migrations)
        store.close()
        return file.read_bytes()


_opened: list[Any] = []
"""Stores and workers."""
_houses: list["House"] = []


def houses() -> list["House"]:
    """Return the houses of this test, and forget them."""
    found, _houses[:] = _houses[:], []
    return found


def close_houses() -> None:
    """Close what houses have opened: the files and threads of hundreds of tests would exceed a process's limits, and a
    thread keeps its whole house in memory."""
    while _opened:
        _opened.pop().close()


_letters = cache(Letters)


def kind(type: str) -> str:
    """Return an event's type as the tests write it: `install.completed`."""
    return type.removeprefix("sitecrew.").removesuffix(".v1")


def failure(code: str, kind: CauseKind = CauseKind.TRANSIENT) -> Failed:
    return Failed.because(code, kind, f"{code} on purpose", "nothing, this is a test")


@dataclass
class FakeServer:
    """A hosting server that records its accounts, and fails on request."""

    name: str = "local"
    address: str = "203.0.113.7"
    web_address: str = "127.0.0.1:80"
    control_panel_url: str | None = "https://panel.example/"
    databases: Databases | None = None
    accounts: dict[str, AccountRequest] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    """The account that each domain belongs to."""
    keeps_domains: bool = False
    """Whether a domain can belong to one account only."""
    failures: list[BaseException] = field(default_factory=list)
    calls: int = 0

    def create_account(self, request: AccountRequest) -> Account:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        known = self.accounts.get(request.username)
        if known and known.marker != request.marker:
            raise failure("username_taken", CauseKind.CONFLICT)
        holder = self.domains.setdefault(request.domain, request.username)
        if self.keeps_domains and holder != request.username:
            raise failure("domain_taken", CauseKind.CONFLICT)
        self.accounts[request.username] = request
        return Account(request.username, request.domain, adopted=known is not None, aliases=request.aliases)

    def release_domain(self, username: str, domain: str) -> None:
        if self.domains.get(domain) == username:
            del self.domains[domain]

    def home(self, username: str) -> Path:
        raise NotImplementedError

    def temporary_url(self, username: str) -> str:
        return f"http://{self.address}/~{username}/"

    def domain_url(self, domain: str) -> str:
        return f"http://{domain}/"

    def check(self) -> None:
        return


@dataclass
class FakeInstaller:
    """A site installer that records what it installed, and fails or waits on request."""

    installed: list[Job] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    """The servers whose database is stopped."""
    meanwhile: Callable[[Job], object] = lambda _job: None
    verifying: Callable[[Job], object] = lambda _job: None
    password: str = "canary-password-1"  # tests look for it where it must not be

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        with step("install"):
            self.meanwhile(job)
            if self.failures:
                raise self.failures.pop(0)
            if server.name in self.down:
                raise failure("db_down")
        with step("swap"):
            self.installed.append(job)
        with step("verify"):
            self.verifying(job)
        return InstalledSite("WordPress", "6.1", job.url, f"{job.url}wp-login.php", "admin", job.seal(self.password))

    def check(self, server: Server) -> None:
        return


@dataclass
class FakeSmtp:
    sent: list[EmailMessage] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def send(self, letter: Letter) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(letter.message())

    def close_idle(self, seconds: float) -> None:
        return


class Clock:
    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment


class _Parts(Parts):
    def worker(self, lane: Lane) -> "Worker":
        _opened.append(worker := super().worker(lane))
        return worker


class Service:
    """One service's store, relay and workers, driven step by step."""

    def __init__(self, house: "House", name: str, wiring: ModuleType, make: Callable[[Parts], made.Service]) -> None:
        self.house = house
        self.store = house.store(name.replace("-", "_"), wiring.MIGRATIONS)
        self.name = name
        metrics = Metrics()
        self.relay = Relay(self.store, self._publisher(), house.broker.topology, house.clock.now, metrics)
        self.database = Database(self.store, name, house.clock.now, self.relay.hand_over, wiring.load)
        self.parts = _Parts(self.store, house.broker, self.database, house.clock.now, metrics)
        self.made = make(self.parts)
        self.lanes: list[tuple[Worker, Consumer]] = []
        for lane in self.made.lanes():
            worker = self.parts.worker(replace(lane, capacity=10, threads=4))
            self.lanes.append((worker, house.broker.consumer(lane.source, 10)))

    def run_periodic_tasks(self) -> None:
        """Run its periodic tasks, except the renewal of leases."""
        for task in self.made.periodic():
            if task.name != "renew_leases":
                task.do()

    def run_once(self) -> int:
        moved = sum(worker.run_once(consumer, timeout=0) for worker, consumer in self.lanes)
        return moved + self.relay.run_once(timeout=0)

    @property
    def idle(self) -> bool:
        return all(worker.idle for worker, _ in self.lanes)

    def crash(self) -> None:
        """Kill it: unsettled deliveries return to their queues, and what is not in the store is lost."""
        for worker, consumer in self.lanes:
            worker.close()
            consumer.close()

    def _publisher(self) -> Publisher:
        return Vetted(self.house.broker.publisher(), self.name)

    def reconnect(self) -> None:
        """Connect to the house's current broker; deliveries from an earlier one can't be settled any more."""
        self.relay._publisher = self._publisher()
        sources = {lane.queue: lane.source for lane in self.made.lanes()}
        self.lanes = [(worker, self.house.broker.consumer(sources[worker.queue], 10)) for worker, _ in self.lanes]


class House:
    """All services, wired as in production."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        public, private = generate_keys()
        settings.setdefault("mailer", {"sender": "Us <us@hosting.example>"})
        self.settings = Settings(keys={"public": public, "private": private}, **settings)
        self.directory = directory
        self.clock = Clock()
        self.received: list[Delivery] = []
        self.broker, self.watcher = self._new_broker()
        self.servers = {name: FakeServer(name) for name in ("local", *self.settings.servers)}
        self.server, self.installer, self.smtp = self.servers["local"], FakeInstaller(), FakeSmtp()
        self.static = FakeInstaller()
        self.intake, self.installing, self.mailer = self.open_intake(), self.open_installer(), self.open_mailer()
        self.services = [self.intake, self.installing, self.mailer]
        self.unfinished = ""
        """Why its rows need not fit together at the end of the test; else they are audited then."""
        _houses.append(self)

    def store(self, name: str, migrations: Path) -> Store:
        file = self.directory / f"{name}.db"
        if not file.exists():
            file.write_bytes(new_database(migrations))
        store = Store(f"sqlite:///{file}")
        _opened.append(store)
        return store

    def _new_broker(self) -> tuple[MemoryBroker, Consumer]:
        broker = MemoryBroker(sitecrew(Ladder()), self.clock.now)
        broker.declare()
        return broker, broker.watch("events", "#")

    def open_intake(self) -> Service:
        def make(parts: Parts) -> made.Service:
            intake = order_intake.IntakeService(self.settings, parts, self.servers)
            self.orders = intake.intake
            return intake

        return Service(self, "order-intake", order_intake, make)

    def open_installer(self) -> Service:
        sites = {"wordpress": self.installer, "static": self.static}

        def make(parts: Parts) -> made.Service:
            installing = installer.InstallerService(self.settings, parts, self.servers, sites)
            self.steps, self.reconciler, self.commands = installing.installing, installing.recovery, installing.commands
            self.batch, self.timer, self.due = installing.batch, installing.timer, installing.due
            return installing

        return Service(self, "installer", installer, make)

    def open_mailer(self) -> Service:
        letters = _letters(None, self.settings.mailer.sender, "Us")
        opener = Opener(self.settings.keys.private.get_secret_value())

        def make(parts: Parts) -> made.Service:
            sending = mailer.MailerService(self.settings, parts, letters, self.smtp, opener)
            self.welcoming = sending.welcoming
            return sending

        return Service(self, "mailer", mailer, make)

    @property
    def is_called_to_tick(self) -> bool:
        """Whether staff have requested a batch."""
        return self.timer._called.is_set()

    # What can happen to it

    def restart(self, service: Service) -> None:
        """Kill a service's process; its supervisor starts it again."""
        service.crash()
        service.store.close()
        names = {self.intake: "intake", self.installing: "installing", self.mailer: "mailer"}
        reopen = {"intake": self.open_intake, "installing": self.open_installer, "mailer": self.open_mailer}
        setattr(self, names[service], reopen[names[service]]())
        self.services = [self.intake, self.installing, self.mailer]

    def wipe(self) -> None:
        """Replace the broker, and everything in it, by an empty one."""
        self.received += self.watcher.take(10_000, 0)
        self.broker, self.watcher = self._new_broker()
        for service in self.services:
            service.reconnect()

    # Driving it

    def publish(
        self, data: Model, id: str = "", *, source: str = "/test", user: str = "guest", **attributes: Any
    ) -> Event[Any]:
        """Publish an event, like a producer or staff; without a user, the broker vouches for nobody."""
        entry = catalogue.by_model(type(data))
        subject = getattr(data, "order_id", None)
        attributes.setdefault("time", self.clock.now())
        event = codec.envelope(data, id=id or new_id(), source=source, subject=subject, **attributes)
        message = Message(entry.exchange, entry.routing_key, codec.encode(event), event.id, event.type)
        assert self.broker.publisher(user).publish([message]) == ["confirmed"]
        return event

    def order(
        self,
        number: int = 1,
        id: str = "",
        traceparent: str | None = None,
        *,
        source: str = "/test",
        user: str = "guest",
        **changes: Any,
    ) -> Event[Any]:
        fields: dict[str, Any] = {
            "order_id": f"order-{number}",
            "site_type": "wordpress",
            "domain": f"shop{number}.example",
            "customer": {"name": "Jo Miller", "email": f"jo{number}@customer.example"},
        }
        placed = OrderPlaced(**{**fields, **changes})
        return self.publish(placed, id or f"placed-{number}", source=source, user=user, traceparent=traceparent)

    def settle(self) -> None:
        """Run until nothing is left to do at the current time."""
        deadline = monotonic() + PATIENCE
        while True:
            if not self._run_once() and not self._wait_for_an_effect():
                return
            assert monotonic() < deadline, "it does not come to rest"

    def _run_once(self) -> int:
        return sum(service.run_once() for service in self.services)

    def _wait_for_an_effect(self) -> bool:
        """Wait a moment for an effect that is going on; return whether there is any."""
        for service in self.services:
            for worker, consumer in service.lanes:
                if not worker.idle:
                    worker.run_once(consumer, timeout=0.02)
                    return True
        return False

    def run_until(self, reached: Callable[[], Any]) -> None:
        """Run until a condition is true, which may be in the middle of an effect."""
        deadline = monotonic() + PATIENCE
        while not reached():
            assert monotonic() < deadline, "it does not come to that"
            if not self._run_once():
                self._wait_for_an_effect()

    def advance(self, seconds: float) -> None:
        """Move the clock, and run everything that becomes due."""
        self.pass_time(seconds)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        self.clock.moment += timedelta(seconds=seconds)
        self.broker.expire()
        for service in self.services:
            service.relay.sweep()

    def tick(self) -> None:
        """Run one batch of the timer, and everything that follows from it."""
        consumer = self.broker.consumer(self.due, 4)
        deadline = monotonic() + PATIENCE
        while self.batch.run_once(consumer, timeout=0 if self.batch.idle else 0.02) or not self.batch.idle:
            assert monotonic() < deadline, "the batch does not come to an end"
        self.batch.drain(consumer)
        self.settle()

    def let_time_pass(self, steps: int, seconds: float) -> None:
        """Move the clock in steps, with recovery sweeps but without batches."""
        for _ in range(steps):
            self.advance(seconds)
            self.reconcile()

    def reconcile(self) -> None:
        self.run_periodic_tasks()
        self.settle()

    def run_periodic_tasks(self) -> None:
        """Run the services' periodic tasks."""
        for service in self.services:
            service.run_periodic_tasks()

    def advance_until(self, reached: Callable[[], bool], minutes: int = 24 * 60, step: int = 1) -> None:
        """Move the clock, `step` minutes at once, with ticks and recovery sweeps, until a condition is true."""
        ends = self.clock.moment + timedelta(minutes=minutes)
        self.settle()  # what is at work now keeps its lease
        while not reached():
            assert self.clock.moment < ends, "it does not come to that"
            self.advance(60 * step)
            self.tick()
            self.reconcile()

    @contextmanager
    def behind_commands(self, monkeypatch: pytest.MonkeyPatch, session: ModuleType) -> Iterator[Self]:
        """Connect the command to our broker until the house is closed."""
        close = self.broker.close
        monkeypatch.setattr(session, "broker_of", lambda _settings, _name: self.broker)
        monkeypatch.setattr(self.broker, "close", lambda: None)  # the services use it as well
        yield self
        for service in self.services:
            service.crash()
            service.store.close()
        self.batch.close()
        close()

    # Looking at it

    def install(self, install_id: str = "order-1-g1") -> Install:
        found = self.find(install_id)
        assert found is not None
        return found

    def find(self, install_id: str) -> Install | None:
        with self.installing.store.reading() as connection:
            return INSTALLS.get(connection, install_id)

    def is_in(self, state: State, install_id: str = "order-1-g1") -> bool:
        found = self.find(install_id)
        return found is not None and found.state == state

    def mailed(self, *numbers: int) -> bool:
        """Whether these orders' first installs are completed and mailed, as far as the installer knows."""
        found = [self.find(f"order-{number}-g1") for number in numbers or (1,)]
        return all(install is not None and install.mail_state == "sent" for install in found)

    def events(self) -> list[Event[Any]]:
        """Return the events published since the last call."""
        received, self.received = [*self.received, *self.watcher.take(10_000, 0)], []
        return [codec.decode(delivery.body) for delivery in received]

    def event_types(self) -> list[str]:
        return [kind(event.type) for event in self.events()]

    def parked(self) -> list[Delivery]:
        return self.broker.browse(PARKING, 1000)


@contextmanager
def at_work(house: House, once: Callable[[], object] | None = None) -> Iterator[None]:
    """Run the services, or `once` again and again, while a command waits for them."""
    stop, pause = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            (once or house.settle)()
            pause.wait(0.01)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


class Gate:
    """Lets a test stop an effect in the middle, and continue it later."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _job: Job) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE), "nobody opened the gate"
