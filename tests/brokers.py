"""A RabbitMQ for the tests, from the first of these that there is:

1. `TEST_AMQP_URL`: a broker that somebody else runs. It is used as it is: what is called like our
   exchanges and queues on it is deleted. It has one virtual host, so tests take turns on it: one
   worker, as `script/test` does it.
2. A container of `TEST_RABBITMQ_IMAGE` (rabbitmq:4-management), if a Docker engine answers and has
   the image or can pull it.
3. A private node from this machine's rabbitmq-server.

One node serves a whole run. The worker that needs it first starts it, each worker has a virtual host
of its own there, and the worker that started it stops it when the others are done with it. A test
that breaks its node asks for `breakable_node`, which is one of its own.
"""

import fcntl
import gc
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Protocol

from foundation.broker import Consumer, Delivery
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import Topology, sitecrew
from foundation.errors import ConfigurationError
from sitecrew.stack.ports import free_port
from sitecrew.stack.rabbitmq import PrivateRabbit

GIVEN = os.environ.get("TEST_AMQP_URL")
IMAGE = os.environ.get("TEST_RABBITMQ_IMAGE", "rabbitmq:4-management")
_VHOST = "tests-{worker}"


class NoBroker(Exception):
    """There is no RabbitMQ to be had here, and why."""


class Node(Protocol):
    """A RabbitMQ node that is ours to break."""

    @property
    def amqp_url(self) -> str:
        """With user and password, and the default virtual host `%2F` at its end."""

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on it; what it prints."""

    def kill(self) -> None:
        """As a power failure would."""

    def start(self) -> None:
        """Anew, with the data, the address and the password that it had."""

    def stop(self) -> None:
        """As an operator would."""


class RabbitContainer:
    """A node in a container, at a port that it keeps."""

    def __init__(self, image: str) -> None:
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        os.environ.setdefault("TC_HOST", "localhost")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from testcontainers.community.rabbitmq import RabbitMqContainer  # noqa: PLC0415
        self._port = free_port()
        self._container = RabbitMqContainer(image, hostname="rabbit").with_bind_ports(5672, self._port)
        self._started = False

    @property
    def amqp_url(self) -> str:
        return f"amqp://guest:guest@localhost:{self._port}/%2F"

    def start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._started:
                self._container.get_wrapped_container().start()
                self._container.readiness_probe()
            else:
                self._container.start()
        self._started = True

    def ctl(self, *arguments: str) -> str:
        code, output = self._container.exec(["rabbitmqctl", *arguments])
        if code:
            raise RuntimeError(output.decode())
        return str(output.decode())

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=30)

    def remove(self) -> None:
        self._container.stop()


@contextmanager
def node(directory: Path) -> Iterator[Node]:
    """A node of one's own. Raises `NoBroker`."""
    made = RabbitContainer(IMAGE) if _docker_has(IMAGE) else _private(directory)
    try:
        made.start()
        yield made
    finally:
        made.remove() if isinstance(made, RabbitContainer) else made.stop()


def _private(directory: Path) -> PrivateRabbit:
    try:
        return PrivateRabbit(directory, patience=90)
    except ConfigurationError as missing:
        raise NoBroker(f"no TEST_AMQP_URL, no Docker engine with {IMAGE}; {missing}") from None


def _docker_has(image: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import docker  # type: ignore[import-untyped]  # noqa: PLC0415

        try:
            client = docker.from_env(timeout=60)
            client.ping()
            if not client.images.list(name=image):
                client.images.pull(image)
            client.close()
        except docker.errors.DockerException:
            answered = False
        else:
            answered = True
        gc.collect()  # if nobody answered, it has left its socket open
        return answered


@dataclass
class SharedNode:
    """The one node of a run, and this worker's part in it.

    Two file locks say who needs the node. `turn` is held while it is started or stopped. `used` is
    shared by all who use it, so that whoever started it can wait for the others; a worker that dies
    lets go of it.
    """

    directory: Path
    workers: Sequence[str]
    _open: Any = None
    _held: list[Any] = field(default_factory=list)

    def acquire(self) -> str:
        """The node's AMQP address; starts the node if nobody has. Raises `NoBroker`."""
        self.directory.mkdir(exist_ok=True)
        address = self.directory / "address"
        with self._locked("turn", fcntl.LOCK_EX):
            if not address.exists():
                self._open = node(self.directory / "node")
                started = self._open.__enter__()
                for worker in self.workers:
                    add_vhost(started, _VHOST.format(worker=worker))
                address.write_text(json.dumps(started.amqp_url))
            self._held.append(_lock(self.directory / "used", fcntl.LOCK_SH))
        return str(json.loads(address.read_text()))

    def release(self) -> None:
        """Let go of the node. Who started it waits for the others, and stops it."""
        while self._held:
            self._held.pop().close()
        if self._open is None:
            return
        with self._locked("turn", fcntl.LOCK_EX), self._locked("used", fcntl.LOCK_EX):
            (self.directory / "address").unlink(missing_ok=True)
            self._open.__exit__(None, None, None)
            self._open = None

    @contextmanager
    def _locked(self, name: str, kind: int) -> Iterator[None]:
        with _lock(self.directory / name, kind):
            yield


def _lock(path: Path, kind: int) -> Any:
    file = path.open("w")
    fcntl.flock(file, kind)
    return file


def add_vhost(to: Node, name: str) -> str:
    """A new, empty virtual host on a node; its address."""
    user = to.amqp_url.removeprefix("amqp://").partition(":")[0]
    to.ctl("add_vhost", name)
    to.ctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
    return _at_vhost(to.amqp_url, name)


def vhost_url(node_url: str, worker: str) -> str:
    """The address of a worker's own virtual host on the shared node."""
    return _at_vhost(node_url, _VHOST.format(worker=worker))


def _at_vhost(node_url: str, name: str) -> str:
    return node_url.removesuffix("%2F") + name


class Vhost:
    """A virtual host that is ours alone: each broker that is made on it finds it empty."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._brokers: list[RabbitBroker] = []
        self._left: list[Topology] = [sitecrew(Ladder())]  # by an earlier run, at a given address

    def broker(self, topology: Topology) -> RabbitBroker:
        self.empty()
        self._left.append(topology)
        self._brokers.append(RabbitBroker([self.url], topology, "tests"))
        return self._brokers[-1]

    def emptied_url(self) -> str:
        """The address, for services of our own, with nothing on it that earlier ones left."""
        self._left.append(sitecrew(Ladder()))
        self.empty()
        return self.url

    def close(self) -> None:
        """Close every broker that was made here."""
        while self._brokers:
            self._brokers.pop().close()

    def empty(self) -> None:
        """Delete what the brokers declared that were made here."""
        self.close()
        names = [(list(t.queues), list(t.exchanges)) for t in self._left]
        self._left = []
        with RabbitBroker([self.url], sitecrew(Ladder()))._channel() as channel:
            for queue in {queue.name for queues, _ in names for queue in queues}:
                channel.queue_delete(queue)
            for exchange in {exchange.name for _, exchanges in names for exchange in exchanges}:
                channel.exchange_delete(exchange)


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self._time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._time

    def advance(self, time: timedelta) -> None:
        self._time += time


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for what can only be asked for; fails after so many seconds."""
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, f"did not come true within {seconds} s"
        Event().wait(0.01)


def eventually(answer: Callable[[], object], wanted: object, seconds: float) -> None:
    """Ask until the answer is as wanted; fails with the last answer after so many seconds."""
    ends = monotonic() + seconds
    while (given := answer()) != wanted:
        assert monotonic() < ends, f"still {given!r} after {seconds} s; wanted {wanted!r}"
        Event().wait(0.01)


def gather(consumer: Consumer, count: int, seconds: float) -> list[Delivery]:
    """Take exactly so many deliveries; fails if they do not come in time."""
    ends = monotonic() + seconds
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += consumer.take(count - len(taken), max(0.0, ends - monotonic()))
        assert len(taken) >= count or monotonic() < ends, f"{len(taken)} of {count} came within {seconds} s"
    return taken
