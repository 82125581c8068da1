"""Everything on one machine: a private broker, database, web server and mail catcher, and the services.

All of it lives below one directory and on loopback ports, and ends with this process. The settings
that the services run with are written to `sitecrew.toml` there, so that every other command can be
pointed at the running system with `--config`.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from foundation.errors import SitecrewError
from foundation.runtime.sealing import generate_keys
from foundation.runtime.service import broker_of
from foundation.runtime.settings import CONFIG_VARIABLE, load, variables
from sitecrew.stack import web
from sitecrew.stack.crew import Crew
from sitecrew.stack.mailbox import Mailbox
from sitecrew.stack.mariadb import PrivateMariaDB
from sitecrew.stack.php import PhpWeb
from sitecrew.stack.ports import free_port
from sitecrew.stack.processes import PATH, Child, Command, OnLine
from sitecrew.stack.rabbitmq import PrivateRabbit
from sitecrew.stack.web import static

SERVICES = {"order-intake": "services.order_intake", "installer": "services.installer", "mailer": "services.mailer"}
_HOST = "127.0.0.1"
_ROOT = Path(__file__).parent.parent
_GRACE = 30.0
"""Seconds that a service has for finishing what it has begun."""

Say = Callable[[str], None]


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
    mailbox: Mailbox
    crew: Crew
    services: Mapping[str, Child]
    database: PrivateMariaDB | None

    def supervise(self, stop: threading.Event, say: Say) -> None:
        """Start again what ends by itself, until `stop`."""
        while not stop.is_set():
            ended = self.crew.first_ended(seconds=0.5)
            if ended is not None and not stop.is_set():
                say(f"{ended.command.name} ended with exit code {ended.poll()}: starting it again")
                ended.start()
                stop.wait(1)


@contextmanager
def stack(plan: Plan, say: Say, on_line: OnLine) -> Iterator[Running]:
    """Bring everything up, and down again at the end. `on_line` gets each log line of the services.
    Raises SitecrewError that says what is missing or would not start."""
    directory = plan.directory.resolve()
    hosting = directory / "hosting"
    hosting.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        broker_url, database = _servers(plan, directory, opened, say)
        mailbox = opened.enter_context(Mailbox(directory / "letters"))
        web_port = _web(plan, hosting, directory, opened)
        config = _write_settings(
            plan,
            directory,
            {"amqp_url": broker_url, **_local_settings(directory, hosting, web_port, mailbox.port, database)},
        )
        _declare(config)
        crew = opened.enter_context(Crew())
        ready = _Ready(on_line)
        services = {name: crew.start(_service(name, directory, config), ready.on_line) for name in SERVICES}
        ready.wait(crew, plan.patience)
        say(f"the services {', '.join(SERVICES)} run")
        yield Running(plan, config, broker_url, mailbox, crew, services, database)
        say("stopping")


def _declare(config: Path) -> None:
    """Services wait for a broker that is not there; a person at a terminal wants to be told."""
    broker = broker_of(load(config), "sitecrew up")
    try:
        broker.declare()
    finally:
        broker.close()


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


def _servers(plan: Plan, directory: Path, opened: ExitStack, say: Say) -> tuple[str, PrivateMariaDB | None]:
    """The broker and the database, which take their time, side by side."""
    rabbit = None if plan.amqp_url else PrivateRabbit(directory / "rabbitmq")
    database = PrivateMariaDB(directory / "mariadb") if "wordpress" in plan.site_types else None
    wanted = [(name, server) for name, server in (("RabbitMQ", rabbit), ("MariaDB", database)) if server]

    def start(named: tuple[str, PrivateRabbit | PrivateMariaDB]) -> None:
        name, server = named
        began = perf_counter()
        opened.callback(server.stop)
        server.start()
        say(f"{name} is up after {perf_counter() - began:.1f} s")

    with ThreadPoolExecutor() as pool:
        list(pool.map(start, wanted))
    return rabbit.amqp_url if rabbit else str(plan.amqp_url), database


def _web(plan: Plan, hosting: Path, directory: Path, opened: ExitStack) -> int:
    """The web server of the hosting accounts: PHP's own, or a plain one where no site needs PHP."""
    port = free_port()
    if "wordpress" in plan.site_types:
        router = Path(web.__file__).with_name("router.php")
        opened.enter_context(PhpWeb(hosting, _HOST, port, router, log=directory / "log" / "web.log"))
        return port
    server = static.serve(hosting, _HOST, port)
    threading.Thread(target=server.serve_forever, name="web", daemon=True).start()
    opened.callback(server.server_close)
    opened.callback(server.shutdown)
    return port


def _local_settings(
    directory: Path, hosting: Path, web_port: int, smtp_port: int, database: PrivateMariaDB | None
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "servers.local.root": str(hosting),
        "servers.local.address": _HOST,
        "servers.local.web_address": f"{_HOST}:{web_port}",
        "servers.local.public_port": web_port,
        "mailer.smtp.host": _HOST,
        "mailer.smtp.port": smtp_port,
        "mailer.sender": "Example Hosting <welcome@hosting.example>",
        "mailer.brand": "Example Hosting",
        "installer.wordpress_isolated": True,
        "timer.jitter_seconds": 0,
        "sites.wordpress.address": "temporary",
        "sites.static.address": "temporary",
    }
    settings["installer.archives"] = str(directory / "archives")
    for service in ("order_intake", "installer", "mailer"):
        settings[f"{service}.store_url"] = f"sqlite:///{directory / service}.db"
        settings[f"{service}.listen"] = f"{_HOST}:0"
    if database:
        settings["servers.local.databases.socket"] = str(database.socket)
        settings["servers.local.databases.username"] = database.admin_user
    return settings


def _write_settings(plan: Plan, directory: Path, settings: dict[str, Any]) -> Path:
    """Settings and a key pair for this stack; the private key in a file of its own."""
    private_file, config = directory / "mailer.key", directory / "sitecrew.toml"
    public_file = directory / "mailer.pub"
    if not private_file.exists():
        public, private = generate_keys()
        _write_private(private_file, private)
        public_file.write_text(public)
    merged = {**settings, "keys.public": public_file.read_text(), **plan.settings}
    # A JSON string, number or boolean is one of TOML as well.
    _write_private(config, "".join(f"{name} = {json.dumps(value)}\n" for name, value in merged.items()))
    return config


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _service(name: str, directory: Path, config: Path) -> Command:
    # The environment may override what a stack on one machine would choose, as it may everywhere.
    environment = {**variables(), "PATH": PATH, "HOME": str(directory), CONFIG_VARIABLE: str(config)}
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
