"""A RabbitMQ for the tests, from the first of these that there is:

1. `TEST_AMQP_URL`: a broker that somebody else runs. It is used as it is: what is called like our
   exchanges and queues on it is deleted before each use. It has one virtual host, so tests take turns
   on it: one worker, as `script/test` does it.
2. `TEST_RABBITMQ_IMAGE`: a container of this image. Who names one wants that RabbitMQ and no other, so
   without it the tests fail.
3. A container of rabbitmq:4-management, if a Docker engine answers and has it or can pull it.
4. A private node from this machine's rabbitmq-server.

One node serves a whole run. The worker that needs it first starts it, and stops it when the others are
done with it. A test that breaks its node asks for `breakable_node`, which is one of its own.

On a node of ours every broker gets a virtual host that was never used. Deleting queues to declare them
again would be the smaller way, but RabbitMQ 3.10.8 does not bear it: the process that dead-letters at
least once crashes if its queue is deleted while it starts, and after two such crashes within five
seconds no such queue of the node works again until it is restarted.
"""

import fcntl
import json
import os
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
from foundation.broker.topology import Topology
from foundation.config.queues import sitecrew
from foundation.errors import ConfigurationError
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from tests.support.containers import RabbitContainer, available

GIVEN = os.environ.get("TEST_AMQP_URL")
IMAGE = os.environ.get("TEST_RABBITMQ_IMAGE")
_USUAL = "rabbitmq:4-management"
MANAGEMENT = "rabbitmq_management"
"""The plugin with RabbitMQ's HTTP API."""
BOOT = 150.0
"""Seconds that a node may take that starts with all the queues of the tests before."""
_VHOSTS = 60
"""Virtual hosts for each worker; a hundred are made in less than two seconds."""


class NoBroker(Exception):
    """There is no RabbitMQ to be had here, and why."""


class Node(Protocol):
    """A RabbitMQ node that is ours to break."""

    @property
    def amqp_url(self) -> str:
        """With user and password, and the default virtual host `%2F` at its end."""

    @property
    def plugin_ports(self) -> dict[str, int]:
        """At which ports of loopback the plugins listen that it was made with."""

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on it; what it prints."""

    def kill(self) -> None:
        """As a power failure would."""

    def start(self) -> None:
        """Anew, with the data, the address and the password that it had."""

    def stop(self) -> None:
        """As an operator would."""


@contextmanager
def node(directory: Path, *plugins: str) -> Iterator[Node]:
    """A node of one's own, with plugins. Raises `NoBroker`."""
    made = _made(directory, plugins)
    try:
        made.start()
        yield made
    finally:
        made.remove() if isinstance(made, RabbitContainer) else made.stop()


def _made(directory: Path, plugins: tuple[str, ...]) -> RabbitContainer | PrivateRabbit:
    image = IMAGE or (_USUAL if available(_USUAL) else None)
    try:
        return RabbitContainer(image) if image else PrivateRabbit(directory, plugins=plugins, patience=BOOT)
    except ConfigurationError as missing:
        raise NoBroker(f"no TEST_AMQP_URL; {missing}") from None


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

    def acquire(self, worker: str) -> Iterator[str]:
        """The worker's own virtual hosts; starts the node if nobody has. Raises `NoBroker`."""
        self.directory.mkdir(exist_ok=True)
        places = self.directory / "vhosts"
        with self._locked("turn", fcntl.LOCK_EX):
            if not places.exists():
                self._open = node(self.directory / "node")
                names = [f"{name}-{number}" for name in self.workers for number in range(_VHOSTS)]
                places.write_text(json.dumps(add_vhosts(self._open.__enter__(), names)))
            self._held.append(_lock(self.directory / "used", fcntl.LOCK_SH))
        return (url for url in json.loads(places.read_text()) if f"/{worker}-" in url)

    def release(self) -> None:
        """Let go of the node. Who started it waits for the others, and stops it."""
        while self._held:
            self._held.pop().close()
        if self._open is None:
            return
        with self._locked("turn", fcntl.LOCK_EX), self._locked("used", fcntl.LOCK_EX):
            (self.directory / "vhosts").unlink(missing_ok=True)
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


_ADD_VHOSTS = """
lists:foreach(fun (Name) ->
    ok = rabbit_vhost:add(Name, <<"tests">>),
    ok = rabbit_auth_backend_internal:set_permissions({user}, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
end, [{names}]).
"""


def add_vhosts(to: Node, names: Sequence[str]) -> list[str]:
    """New, empty virtual hosts on a node; their addresses. Together: each rabbitmqctl takes a second."""
    user = to.amqp_url.removeprefix("amqp://").partition(":")[0]
    quoted = ",".join(f'<<"{name}">>' for name in names)
    to.ctl("eval", _ADD_VHOSTS.format(user=f'<<"{user}">>', names=quoted))
    return [to.amqp_url.removesuffix("%2F") + name for name in names]


def emptied(url: str) -> Iterator[str]:
    """The one virtual host that is given, each time without what an earlier use left there."""
    while True:
        ours = sitecrew(Ladder())
        with RabbitBroker([url], ours)._channel() as channel:
            for queue in ours.queues:
                channel.queue_delete(queue.name)
            for exchange in ours.exchanges:
                channel.exchange_delete(exchange.name)
        yield url


class Brokers:
    """Brokers on virtual hosts with nothing in them, until they are closed together."""

    def __init__(self, vhosts: Iterator[str]) -> None:
        self._vhosts = vhosts
        self._made: list[RabbitBroker] = []

    def url(self) -> str:
        """The address of an empty virtual host."""
        url = next(self._vhosts, None)
        assert url, "more brokers than virtual hosts: raise _VHOSTS"
        return url

    def broker(self, topology: Topology, url: str | None = None) -> RabbitBroker:
        """A broker at an empty virtual host, or at a known one."""
        self._made.append(RabbitBroker([url or self.url()], topology, "tests"))
        return self._made[-1]

    def close(self) -> None:
        while self._made:
            self._made.pop().close()


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
