"""The whole of Sitecrew for one run: servers of its own, services as processes, proxies between them, and small disks.

Everything is below one directory, on loopback, and ends with this process.
"""

import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from threading import Event, Thread
from types import MappingProxyType
from typing import Any

import sitecrew.stack.web
from foundation.broker import Delivery
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.queues import with_api
from foundation.config.settings import CONFIG_VARIABLE
from foundation.errors import ConfigurationError
from foundation.store import Store
from sitecrew.stack.own_settings import HOST, Ports, local_settings, write
from sitecrew.stack.ports import free_port
from sitecrew.stack.process_group import side_by_side
from sitecrew.stack.servers.mailbox import Mailbox
from sitecrew.stack.servers.mariadb import PrivateMariaDB
from sitecrew.stack.servers.php import PhpWeb
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from sitecrew.stack.web.process import StaticWeb
from tests.chaos.disk import Disk
from tests.chaos.fault import REPLICA_NAMES, REPLICAS, Options
from tests.chaos.proxy import Network, Proxy
from tests.chaos.replicas import Replica
from tests.support.brokers import add_vhosts
from tests.support.postgres import Postgres, installed, running

VHOST = "sitecrew"
_REMEMBERED = 400
_RESTLESS = {
    "timer.every": "*/2 * * * * *",
    "sites.static.stage": True,
    "installer.lease_seconds": 5,
    "installer.max_attempts": 50,
    "installer.retry_first_seconds": 1,
    "installer.retry_longest_seconds": 8,
    "mailer.smtp.timeout_seconds": 4,
    "mailer.max_attempts": 50,
    "mailer.retry_first_seconds": 1,
    "mailer.retry_longest_seconds": 8,
    "amqp_timeout_seconds": 5,
    "limits.reinstalls_per_hour": 0,
    "servers.local.linux_users": False,
}
"""Settings with which nothing waits long, and attempts outlast any fault."""


class System:
    """What a run works on. `say` gets what nobody caused, such as a service that ended by itself."""

    def __init__(
        self,
        directory: Path,
        options: Options,
        say: Callable[[str], None],
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.directory, self.options, self._say = directory.resolve(), options, say
        self._settings = settings
        directory.mkdir(parents=True)
        self.disks = {name: Disk(self.directory / name) for name in ("stores", "sites", "logs")}
        self.rabbit = PrivateRabbit(self.directory / "rabbitmq")
        self.url = self.rabbit.amqp_url.removesuffix("%2F") + VHOST
        self.broker = RabbitBroker([self.url], with_api(Ladder()), "chaos")
        self.postgres: Postgres | None = None
        self.database: PrivateMariaDB | None = None
        """The databases of the sites."""
        self.web: StaticWeb | PhpWeb
        self.network = Network()
        self.broker_lines: dict[str, Proxy] = {}
        """The replicas' connections to the broker, by replica."""
        self.mail_line: Proxy
        self.store_line: Proxy
        self.mailbox = Mailbox(self.directory / "letters")
        self.replicas: dict[str, Replica] = {}
        self.urls: dict[str, str] = {}
        """The stores, by service; our own way to them, past the proxy."""
        self.config: Path
        self.heard = deque[Delivery](maxlen=_REMEMBERED)
        """The latest events, as they were published."""
        self.unanswered: set[str] = set()
        """The Message-IDs of letters that the mail server has stored without telling the mailer."""
        self.broken: set[bytes] = set()
        """Bodies that are no events, which we have published."""
        self._stop = Event()

    @contextmanager
    def up(self) -> Iterator[None]:
        """Bring everything up, and stop it at the end. Raises SitecrewError if something is missing."""
        with ExitStack() as opened:
            for disk in self.disks.values():
                opened.callback(disk.remove)
            opened.enter_context(self.network)
            opened.enter_context(self.mailbox)
            self._stores(opened)
            ports = Ports(**{name: free_port() for name in Ports.__dataclass_fields__})
            self.web = self._web(ports)
            servers: list[Any] = [self.rabbit, self.web, *([self.database] if self.database else [])]
            opened.callback(lambda: side_by_side([server.child.kill for server in servers]))
            side_by_side([server.start for server in servers])
            add_vhosts(self.rabbit, [VHOST])
            opened.callback(self.broker.close)
            self.config = self._configure(ports)
            self._replicas(ports)
            opened.callback(lambda: side_by_side([replica.close for replica in self.replicas.values()]))
            side_by_side([replica.start for replica in self.replicas.values()])
            watching = Thread(target=self._watch_over, name="watching over services", daemon=True)
            watching.start()
            opened.callback(watching.join)
            opened.callback(self._stop.set)
            yield

    @contextmanager
    def store(self, service: str) -> Iterator[Store]:
        """A store of a service, such as `order-intake`."""
        store = Store(self.urls[service])
        try:
            yield store
        finally:
            store.close()

    def wipe_broker(self) -> None:
        """Delete everything on the broker, and leave an empty virtual host."""
        self.rabbit.ctl("delete_vhost", VHOST)
        add_vhosts(self.rabbit, [VHOST])

    def keep(self) -> None:
        """Have everything outlive this process. To be called while the servers are up."""
        if self.postgres:
            for service, url in self.urls.items():
                dump = self.directory / "stores" / f"{service}.sql"
                dump.touch(mode=0o600)
                with dump.open("wb") as file:
                    subprocess.run(["pg_dump", url], stdout=file, stderr=subprocess.DEVNULL, check=False)
        for disk in self.disks.values():
            disk.keep()

    def _stores(self, opened: ExitStack) -> None:
        if self.options.store == "sqlite":
            self.urls = {name: f"sqlite:///{self.disks['stores'].place}/{name}.db" for name in REPLICAS}
            self._seen_by_services = self.urls
            return
        if (programs := installed()) is None:
            raise ConfigurationError("PostgreSQL is not installed here: run `script/bootstrap postgresql`")
        self.postgres = opened.enter_context(running(programs))
        beside = self.postgres.directory / "line"
        beside.mkdir()
        socket = ".s.PGSQL.5432"
        self.store_line = self.network.proxy(beside / socket, self.postgres.directory / socket)
        self.urls = {name: self.postgres.database() for name in REPLICAS}
        own = f"host={self.postgres.directory}"
        self._seen_by_services = {name: url.replace(own, f"host={beside}") for name, url in self.urls.items()}

    def _web(self, ports: Ports) -> StaticWeb | PhpWeb:
        root, log = self.disks["sites"].place, self.directory / "web.log"
        if self.options.site == "static":
            return StaticWeb(root, HOST, ports.web, log=log)
        self.database = PrivateMariaDB(self.directory / "mariadb")
        router = Path(sitecrew.stack.web.__file__).with_name("router.php")
        return PhpWeb(root, HOST, ports.web, router, log=log)

    def _configure(self, ports: Ports) -> Path:
        self.mail_line = self.network.proxy((HOST, ports.mail), (HOST, self.mailbox.port))
        settings = local_settings(self.directory, self.disks["sites"].place, ports, self.database)
        own = {f"{name.replace('-', '_')}.store_url": url for name, url in self.urls.items()}
        return write(self.directory, {"amqp_url": self.url, **settings, **own, **_RESTLESS, **self._settings})

    def _replicas(self, ports: Ports) -> None:
        for name in REPLICA_NAMES:
            service = name.rpartition("-")[0]
            line = free_port()
            self.broker_lines[name] = self.network.proxy((HOST, line), (HOST, self.rabbit.port))
            key = f"SITECREW_{service.replace('-', '_').upper()}"
            environment = {
                CONFIG_VARIABLE: str(self.config),
                "SITECREW_AMQP_URL": self.url.replace(f":{self.rabbit.port}/", f":{line}/"),
                f"{key}__STORE_URL": self._seen_by_services[service],
                f"{key}__LISTEN": f"{HOST}:{free_port()}",
                "SITECREW_KEYS__PRIVATE_FILE": str(self.directory / "mailer.key"),
                "SITECREW_API__SECRET_KEY_FILE": str(self.directory / "api.key"),
            }
            own = self.directory / "processes"
            own.mkdir(exist_ok=True)
            self.replicas[name] = Replica(name, own, self.disks["logs"].place, environment)

    def _watch_over(self) -> None:
        while not self._stop.wait(0.3):
            for replica in self.replicas.values():
                replica.mend(self._say)


def message_id(letter: bytes) -> str:
    """The Message-ID of a letter as it was received."""
    return str(message_from_bytes(letter, policy=default)["Message-ID"])
