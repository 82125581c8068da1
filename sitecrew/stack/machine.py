"""Everything on one machine: a private broker, database, web server and mail catcher, and the services.

Everything is below one directory and on loopback ports, and ends with this process. The services'
settings are written to `sitecrew.toml` there, so that other commands can use the running system with
`--config`.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Protocol

from foundation.config.settings import CONFIG_VARIABLE, load
from foundation.errors import SitecrewError
from sitecrew.stack import web
from sitecrew.stack.broker import DEFINITIONS, Logins, declare
from sitecrew.stack.claim import claimed
from sitecrew.stack.own_settings import HOST, Ports, local_settings, ports_of, write
from sitecrew.stack.process_group import Crew, side_by_side
from sitecrew.stack.processes import PATH, Child, Command, OnLine, first_ended
from sitecrew.stack.servers.mailbox import Mailbox
from sitecrew.stack.servers.mariadb import PrivateMariaDB
from sitecrew.stack.servers.php import PhpWeb
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from sitecrew.stack.web.process import StaticWeb

SERVICES = {
    "order-intake": "services.order_intake",
    "installer": "services.installer",
    "mailer": "services.mailer",
    "api": "services.api",
}
_KEYS = {"mailer": ("SITECREW_KEYS__PRIVATE_FILE", "mailer.key"), "api": ("SITECREW_API__SECRET_KEY_FILE", "api.key")}
"""The file of a service's secret key, and the variable that names it."""
_ROOT = Path(__file__).parents[2]
_STARTED = {"api": '"http.listening"'}
"""What a service logs once it is up, where that is not `service.started`."""
_GRACE = 30.0
"""Seconds that a service may take to finish what it has begun."""

Say = Callable[[str], None]

_LOGINS = "broker"
"""The directory of the files with the broker's URLs, below a stack's."""
_BROKER = {"max_message_size": "1048576", "load_definitions": f"../{_LOGINS}/{DEFINITIONS}"}
"""As in deploy/rabbitmq/sitecrew.conf; the node runs in a directory beside."""


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
    """An existing broker to use; None: a private one, on which everybody is a user of its own."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings, by dotted name, that override those of a stack on one machine."""
    patience: float = 90.0
    """Seconds within which the services must be up."""
    broker_urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The URLs of those who log in to an existing broker as somebody else, by their names in `config/rights.py`."""


@dataclass(frozen=True)
class Running:
    """A stack that is up."""

    plan: Plan
    config: Path
    logins: Logins
    ports: Ports
    mailbox: Mailbox
    crew: Crew
    services: Mapping[str, Child]
    servers: Mapping[str, Server]
    database: PrivateMariaDB | None

    @property
    def console_url(self) -> str:
        return f"http://{HOST}:{self.ports.console}"

    def login_of(self, who: str) -> Path:
        """The file with the broker's URL of a service, the command (`cli`), a producer (`shop`) or an administrator
        (`admin`)."""
        return self.config.parent / _LOGINS / who

    def supervise(self, stop: threading.Event, say: Say) -> None:
        """Restart whatever ends by itself, until `stop`."""
        starts: dict[Child, tuple[str, Callable[[], None]]]
        starts = {child: (child.command.name, child.start) for child in self.crew.children}
        starts |= {server.child: (name, server.start) for name, server in self.servers.items()}
        while not stop.is_set():
            first_ended([child for child in starts if child.running], seconds=0.5)
            for child, (name, start) in starts.items():
                if child.fell and not stop.is_set():
                    say(f"{name} exited with {child.poll()}: restarting it")
                    _try(start, say)
                    stop.wait(1)


@contextmanager
def stack(plan: Plan, say: Say, on_line: OnLine) -> Iterator[Running]:
    """Start everything, and stop it at the end. `on_line` gets each log line of the services. Raises
    SitecrewError, which says what is missing or does not start."""
    directory = plan.directory.resolve()
    hosting = directory / "hosting"
    hosting.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        opened.enter_context(claimed(directory / "lock", patience=0))
        ports = ports_of(directory, own_broker=plan.amqp_url is None)
        servers = _servers(plan, directory, hosting, ports)
        logins = Logins.existing(plan.amqp_url, plan.broker_urls) if plan.amqp_url else Logins.private(ports.broker)
        database = servers.get("MariaDB")
        database = database if isinstance(database, PrivateMariaDB) else None
        own = {"amqp_url": logins.urls["cli"], **local_settings(directory, hosting, ports, database)}
        config = write(directory, {**own, **plan.settings})
        settings = load(config, environment=False)
        logins.write(directory / _LOGINS, settings)
        _start(servers, opened, say)
        mailbox = opened.enter_context(Mailbox(directory / "letters", port=ports.mail))
        declare(settings, logins, alone=plan.amqp_url is not None)
        crew = opened.enter_context(Crew())
        ready = _Ready(on_line)
        services = {name: crew.start(_service(name, directory, config), ready.on_line) for name in SERVICES}
        ready.wait(crew, plan.patience)
        say(f"the services {', '.join(SERVICES)} are running")
        try:
            yield Running(plan, config, logins, ports, mailbox, crew, services, servers, database)
        finally:
            say("stopping")


def _try(start: Callable[[], None], say: Say) -> None:
    try:
        start()
    except SitecrewError as error:
        say(str(error))


class _Ready:
    """Watches the services' log lines until each has started."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._missing = set(SERVICES)
        self._all = threading.Event()

    def on_line(self, service: str, line: str) -> None:
        if service in self._missing and _STARTED.get(service, '"service.started"') in line:
            self._missing.discard(service)
            if not self._missing:
                self._all.set()
        self._on_line(service, line)

    def wait(self, crew: Crew, patience: float) -> None:
        """Raises SitecrewError if a service ends, or takes longer than `patience` seconds."""
        ends = monotonic() + patience
        while not self._all.wait(0.1):
            ended = crew.first_ended(seconds=0)
            if ended or monotonic() > ends:
                name = ended.command.name if ended else ", ".join(sorted(self._missing))
                tail = ended.last_words() if ended else ""
                raise SitecrewError(f"{name} did not start; see its log. {tail}")


def _servers(plan: Plan, directory: Path, hosting: Path, ports: Ports) -> dict[str, Server]:
    """The broker, the database, and the hosting accounts' web server; not started yet."""
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
    """Start all servers at the same time, and have them stopped likewise. An interrupt kills them: none loses data."""

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
    # Our own environment is not inherited: what matters of it is in the settings file.
    login = str(directory / _LOGINS / name)
    environment = {"PATH": PATH, "HOME": str(directory), CONFIG_VARIABLE: str(config), "SITECREW_AMQP_URL_FILE": login}
    if name in _KEYS:
        variable, file = _KEYS[name]
        environment[variable] = str(directory / file)
    return Command(
        name=name,
        argv=(sys.executable, "-m", SERVICES[name]),
        environment=environment,
        log=directory / "log" / f"{name}.log",
        directory=_ROOT,
        grace=_GRACE,
    )
