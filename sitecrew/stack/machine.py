"""Everything on one machine: a private broker, database, web server and mail catcher, and the services.

All of it lives below one directory and on loopback ports, and ends with this process. The settings
that the services run with are written to `sitecrew.toml` there, so that every other command can be
pointed at the running system with `--config`.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, Protocol

from foundation.broker.rabbit import RabbitBroker
from foundation.config.settings import CONFIG_VARIABLE, Settings, load
from foundation.errors import Refused, SitecrewError
from foundation.service.process import broker_of
from sitecrew.stack import web
from sitecrew.stack.claim import claimed
from sitecrew.stack.own_settings import HOST, Ports, local_settings, ports_of, write
from sitecrew.stack.process_group import Crew, side_by_side
from sitecrew.stack.processes import PATH, Child, Command, OnLine, first_ended
from sitecrew.stack.servers.mailbox import Mailbox
from sitecrew.stack.servers.mariadb import PrivateMariaDB
from sitecrew.stack.servers.php import PhpWeb
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from sitecrew.stack.web.process import StaticWeb

SERVICES = {"order-intake": "services.order_intake", "installer": "services.installer", "mailer": "services.mailer"}
_ROOT = Path(__file__).parents[2]
_GRACE = 30.0
"""Seconds that a service has for finishing what it has begun."""
_GONE_SECONDS = 3.0
"""For how long the broker may take to see that an earlier run is gone."""

Say = Callable[[str], None]

_BROKER = {"max_message_size": "1048576"}
"""As docs/operate.md advises."""


class Server(Protocol):
    """A broker, database or web server of our own."""

    @property
    def child(self) -> Child: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True)
class Plan:
    """What to bring up."""

    directory: Path
    site_types: tuple[str, ...] = ("wordpress", "static")
    amqp_url: str | None = field(default=None, repr=False)
    """A broker that is there already; None: a private one."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings by dotted name that differ from those of a stack on one machine."""
    patience: float = 90.0
    """Seconds within which the services must work."""


@dataclass(frozen=True)
class Running:
    """A stack that is up."""

    plan: Plan
    config: Path
    amqp_url: str = field(repr=False)
    ports: Ports
    mailbox: Mailbox
    crew: Crew
    services: Mapping[str, Child]
    servers: Mapping[str, Server]
    database: PrivateMariaDB | None

    def supervise(self, stop: threading.Event, say: Say) -> None:
        """Start again what ends by itself, until `stop`."""
        starts: dict[Child, tuple[str, Callable[[], None]]]
        starts = {child: (child.command.name, child.start) for child in self.crew.children}
        starts |= {server.child: (name, server.start) for name, server in self.servers.items()}
        while not stop.is_set():
            first_ended([child for child in starts if child.running], seconds=0.5)
            for child, (name, start) in starts.items():
                if child.fell and not stop.is_set():
                    say(f"{name} ended with exit code {child.poll()}: starting it again")
                    _try(start, say)
                    stop.wait(1)


@contextmanager
def stack(plan: Plan, say: Say, on_line: OnLine) -> Iterator[Running]:
    """Bring everything up, and down again at the end. `on_line` gets each log line of the services.
    Raises SitecrewError that says what is missing or would not start."""
    directory = plan.directory.resolve()
    hosting = directory / "hosting"
    hosting.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        opened.enter_context(claimed(directory / "lock", patience=0))
        ports = ports_of(directory, own_broker=plan.amqp_url is None)
        servers = _servers(plan, directory, hosting, ports)
        rabbit, database = servers.get("RabbitMQ"), servers.get("MariaDB")
        broker_url = rabbit.amqp_url if isinstance(rabbit, PrivateRabbit) else str(plan.amqp_url)
        database = database if isinstance(database, PrivateMariaDB) else None
        own = {"amqp_url": broker_url, **local_settings(directory, hosting, ports, database)}
        config = write(directory, {**own, **plan.settings})
        settings = load(config, environment=False)
        _start(servers, opened, say)
        mailbox = opened.enter_context(Mailbox(directory / "letters", port=ports.mail))
        _declare(settings, alone=plan.amqp_url is not None)
        crew = opened.enter_context(Crew())
        ready = _Ready(on_line)
        services = {name: crew.start(_service(name, directory, config), ready.on_line) for name in SERVICES}
        ready.wait(crew, plan.patience)
        say(f"the services {', '.join(SERVICES)} run")
        try:
            yield Running(plan, config, broker_url, ports, mailbox, crew, services, servers, database)
        finally:
            say("stopping")


def _try(start: Callable[[], None], say: Say) -> None:
    try:
        start()
    except SitecrewError as error:
        say(str(error))


def _declare(settings: Settings, *, alone: bool) -> None:
    """Services wait for a broker that is not there; a person at a terminal wants to be told. Raises Refused if we are
    to be `alone` and are not."""
    broker = broker_of(settings, "sitecrew up")
    try:
        broker.declare()
        if alone:
            _require_alone(broker)
    finally:
        broker.close()


def _require_alone(broker: RabbitBroker) -> None:
    """Others who take orders from the same queues would share them with us: some of their customers would get nothing,
    and theirs would be among ours."""
    deadline = monotonic() + _GONE_SECONDS
    while taken := [queue.name for queue in broker.topology.queues if broker.consumers(queue.name)]:
        if monotonic() > deadline:
            raise Refused(
                f"another Sitecrew works with this broker ({', '.join(taken)}), and would share its orders with this "
                "one: give SITECREW_AMQP_URL a virtual host of its own, or unset it to have a private broker"
            )
        sleep(0.1)  # nothing tells when a run that has just ended is gone


class _Ready:
    """Listens to the services' log lines until each has said that it works."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._missing = set(SERVICES)
        self._all = threading.Event()

    def on_line(self, service: str, line: str) -> None:
        if service in self._missing and '"service.started"' in line:
            self._missing.discard(service)
            if not self._missing:
                self._all.set()
        self._on_line(service, line)

    def wait(self, crew: Crew, patience: float) -> None:
        """Raises SitecrewError if a service ends, or takes longer than so many seconds."""
        ends = monotonic() + patience
        while not self._all.wait(0.1):
            ended = crew.first_ended(seconds=0)
            if ended or monotonic() > ends:
                name = ended.command.name if ended else ", ".join(sorted(self._missing))
                tail = ended.last_words() if ended else ""
                raise SitecrewError(f"{name} does not start; see its log. {tail}")


def _servers(plan: Plan, directory: Path, hosting: Path, ports: Ports) -> dict[str, Server]:
    """The broker, the database, and the web server of the hosting accounts. Nothing is started yet."""
    servers: dict[str, Server] = {}
    if plan.amqp_url is None:
        servers["RabbitMQ"] = PrivateRabbit(directory / "rabbitmq", port=ports.broker, settings=_BROKER)
    if "wordpress" in plan.site_types:
        router = Path(web.__file__).with_name("router.php")
        servers["MariaDB"] = PrivateMariaDB(directory / "mariadb")
        servers["PHP's web server"] = PhpWeb(hosting, HOST, ports.web, router, log=directory / "log" / "web.log")
    else:
        servers["the web server"] = StaticWeb(hosting, HOST, ports.web, log=directory / "log" / "web.log")
    return servers


def _start(servers: Mapping[str, Server], opened: ExitStack, say: Say) -> None:
    """All at once, and at the end all at once stopped. Who is interrupted meanwhile waits for nothing: each of them
    keeps its data when it is killed."""

    def start(name: str, server: Server) -> None:
        began = perf_counter()
        server.start()
        say(f"{name} is up after {perf_counter() - began:.1f} s")

    opened.callback(lambda: side_by_side([server.stop for server in servers.values()]))
    try:
        side_by_side([partial(start, name, server) for name, server in servers.items()])
    except KeyboardInterrupt:
        side_by_side([server.kill for server in servers.values()])
        raise


def _service(name: str, directory: Path, config: Path) -> Command:
    # Nothing of our own environment: what of it counts stands in the settings file.
    environment = {"PATH": PATH, "HOME": str(directory), CONFIG_VARIABLE: str(config)}
    if name == "mailer":
        environment["SITECREW_KEYS__PRIVATE_FILE"] = str(directory / "mailer.key")
    return Command(
        name=name,
        argv=(sys.executable, "-m", SERVICES[name]),
        environment=environment,
        log=directory / "log" / f"{name}.log",
        directory=_ROOT,
        grace=_GRACE,
    )
