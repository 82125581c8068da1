"""Run our services on a private broker, with messages for them that are copies of real ones."""

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
from pika.channel import Channel

from bench import postgres, stages
from bench.machine import Processes, command, progress, until_quiet
from bench.raw import HOPS, PERSISTENT, QUORUM, Driver, Message, prepared
from foundation.errors import SitecrewError
from sitecrew.stack.ports import free_port
from sitecrew.stack.servers.rabbitmq import PrivateRabbit

_LAST = "sitecrew.mail.sent.v1"
PATTERN = "pattern"
"""The number of the order that others are copies of."""
API = "api"
"""The service that has no effects outside, and runs as it ships."""
WATCHED = "bench.watched"
"""Our own queue for the events that a trial watches."""


@dataclass(frozen=True)
class Lab:
    """A broker with Sitecrew's topology, and a directory for stores and logs."""

    rabbit: PrivateRabbit
    directory: Path
    stores: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.rabbit.amqp_url

    def services(self, *names: str, **settings: str) -> Processes:
        """Run some of the services; `installer/2` is a second replica. `settings` are environment variables."""
        ports = {name: free_port() for name in names}
        commands = {}
        for name, port in ports.items():
            service = name.partition("/")[0]
            environment = stages.environment(self.url, dict(self.stores), {service: f"127.0.0.1:{port}"})
            log = name.replace("/", "-")
            argv = ("-m", "services.api") if service == API else ("-m", "bench.stages", service)
            commands[name] = command(log, argv, self.directory, environment | settings)
        return Processes(commands, ports)

    def watch(self, pattern: str) -> None:
        """Collect matching events, and no others, in the queue `WATCHED` from now on."""

        def declare(channel: Channel) -> None:
            channel.queue_delete(WATCHED)
            channel.queue_declare(WATCHED, durable=True, arguments=QUORUM)
            channel.queue_bind(WATCHED, "events", pattern)

        prepared(self.url, declare)

    def driver(self, healthy: Callable[[], None] = lambda: None, queue: str = WATCHED) -> Driver:
        """Return a driver that publishes messages and receives the watched events."""
        return Driver(self.url, queue, healthy)

    def depth(self, queue: str) -> int:
        """Return how many messages are waiting in a queue."""
        return self._look(queue)[0]

    def until_consumed(self, queue: str, consumers: int) -> None:
        """Wait for this many consumers, at most a minute. Raises SitecrewError."""
        ends = time.monotonic() + 60
        while self._look(queue)[1] < consumers:
            if time.monotonic() > ends:
                raise SitecrewError(f"{queue} did not get {consumers} consumers within a minute")
            time.sleep(0.1)

    def _look(self, queue: str) -> tuple[int, int]:
        found: list[int] = []

        def look(channel: Channel) -> None:
            method = channel.queue_declare(queue, passive=True).method
            found.extend((method.message_count, method.consumer_count))

        prepared(self.url, look)
        return found[0], found[1]

    def captured(self, *types: str) -> list[dict[str, Any]]:
        """Run one order to its end; return an event of each of these types."""
        found = {event["type"]: event for event in self.life_of_an_order()}
        return [found[type] for type in types]

    def life_of_an_order(self) -> list[dict[str, Any]]:
        """Run the order of number `PATTERN` to its end; return its events."""
        self.watch("#")
        found: list[dict[str, Any]] = []

        def note(_properties: pika.BasicProperties, body: bytes) -> None:
            found.append(json.loads(body))

        def ended() -> bool:
            return any(event["type"] == _LAST for event in found)

        with self.services(*stages.SERVICES) as running:
            driver = self.driver(running.require_running)
            driver.run([order(PATTERN)], until=ended, seen=note, seconds=120)
            until_quiet(lambda: sum(running.cpu().values()))
            driver.close()
        return [event for event in found if PATTERN in (event.get("subject") or "")]

    def purge(self, *others: str) -> None:
        """Empty the services' queues, and others."""
        queues = [*others, *(queue for service in HOPS.values() for queue in service)]
        prepared(self.url, lambda channel: [channel.queue_purge(queue) for queue in queues])


@contextmanager
def lab(*, postgresql: bool = False) -> Iterator[Lab]:
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        progress("starting RabbitMQ ...")
        rabbit = opened.enter_context(PrivateRabbit(directory / "rabbitmq"))
        server = opened.enter_context(postgres.running()) if postgresql else None
        names = (*stages.SERVICES, API)
        stores = {name: server.database() if server else f"sqlite:///{directory / name}.db" for name in names}
        stages.declare(rabbit.amqp_url)
        yield Lab(rabbit, directory, stores)


def order(number: str) -> Message:
    """Return an event as a message, as a producer publishes it to us."""
    event = stages.order(number)
    properties = pika.BasicProperties(
        content_type=event.content_type,
        delivery_mode=PERSISTENT,
        message_id=event.message_id,
        correlation_id=event.correlation_id,
        type=event.type,
    )
    return Message(event.exchange, event.routing_key, event.body, properties)


def clones(event: dict[str, Any], numbers: Iterable[int], exchange: str, key: str, **data: Any) -> Iterator[Message]:
    """Yield copies of an event for other orders, with new values for these fields of its data."""
    before = event["data"]
    for number in numbers:
        order_id = f"c{number:07}"
        id = str(uuid4())
        install_id = before["install_id"].replace(before["order_id"], order_id)
        copy = event | {"id": id, "subject": order_id}
        copy["data"] = before | {"order_id": order_id, "install_id": install_id} | data
        properties = pika.BasicProperties(
            content_type="application/cloudevents+json",
            delivery_mode=PERSISTENT,
            message_id=id,
            correlation_id=order_id,
            type=event["type"],
        )
        yield Message(exchange, key, json.dumps(copy).encode(), properties)


def seconds_to_ready(port: int, began: float, patience: float = 60) -> float:
    """Return the seconds from `began` (monotonic) until a service reports that it is ready."""
    while time.monotonic() - began < patience:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return time.monotonic() - began
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)
    raise SitecrewError(f"no service was ready within {patience:g} s")


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
