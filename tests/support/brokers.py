"""Provide a RabbitMQ for the tests: the first of these that is available.

1. `TEST_AMQP_URL`: an external broker. It is used as it is: anything on it that is named like our
   exchanges and queues is deleted before each use. It has one virtual host, so tests run one at a time:
   with one worker, as `script/test` does it.
2. `TEST_RABBITMQ_IMAGE`: a container of this image. Naming an image requires that RabbitMQ and no other, so
   tests fail if it is not available.
3. A container of rabbitmq:4-management, if a Docker engine answers and has it or can pull it.
4. A private node from this machine's rabbitmq-server.

One node serves a whole run. The first worker that needs it starts it, and stops it when the others are
done with it. A test that breaks its node asks for `breakable_node`, which is its own.

On our own nodes, every broker gets a virtual host that was never used. Deleting and declaring queues
again would be simpler, but RabbitMQ 3.10.8 can't cope with it: the process that dead-letters at
least once crashes if its queue is deleted while it starts, and after two such crashes within five
seconds no such queue of the node works again until it is restarted.
"""

import fcntl
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
"""Seconds that a node may take to start with all the queues of earlier tests."""
_VHOSTS = 120
"""Virtual hosts for all workers. Twice as many take four times the CPU to create."""
_CALM = "application:set_env(rabbit, quorum_tick_interval, 60000)."
"""Quorum queues look after their statistics, leader and expiry once a minute, not every five seconds: those that tests
have left behind would keep a quarter of a core busy. No client of ours waits for it."""


class NoBroker(Exception):
    """No RabbitMQ is available here; says why."""


class Node(Protocol):
    """A RabbitMQ node that a test may break."""

    @property
    def amqp_url(self) -> str:
        """The AMQP URL, with user and password; ends with the default virtual host `%2F`."""

    @property
    def plugin_ports(self) -> dict[str, int]:
        """The loopback ports of its plugins, by plugin."""

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on the node; return its output."""

    def kill(self) -> None:
        """Kill the node, like a power failure."""

    def start(self) -> None:
        """Start it again, with the same data, address and password."""

    def stop(self) -> None:
        """Stop the node, like an operator."""


@contextmanager
def node(directory: Path, *plugins: str) -> Iterator[Node]:
    """Run a node of one's own, with plugins. Raises `NoBroker`."""
    made = _made(directory, plugins)
    try:
        made.start()
        yield made
    finally:
        made.remove() if isinstance(made, RabbitContainer) else made.kill()  # nobody wants its data


def _made(directory: Path, plugins: tuple[str, ...]) -> RabbitContainer | PrivateRabbit:
    image = IMAGE or (_USUAL if available(_USUAL) else None)
    try:
        return RabbitContainer(image) if image else PrivateRabbit(directory, plugins=plugins, patience=BOOT)
    except ConfigurationError as missing:
        raise NoBroker(f"no TEST_AMQP_URL; {missing}") from None


@dataclass
class SharedNode:
    """The one node that all workers of a test run share.

    Three file locks coordinate the workers. `turn` is held while the node is started or stopped, `next` while
    a virtual host is taken. `used` is shared by all users of the node, so that the worker that started it can
    wait for the others; a worker that dies releases it.
    """

    directory: Path
    _open: Any = None
    _held: list[Any] = field(default_factory=list)

    def acquire(self) -> Iterator[str]:
        """Yield virtual hosts that nobody else gets; start the node if it is not running. Raises `NoBroker`."""
        self.directory.mkdir(exist_ok=True)
        places = self.directory / "vhosts"
        with self._locked("turn", fcntl.LOCK_EX):
            if not places.exists():
                self._open = node(self.directory / "node")
                started = self._open.__enter__()
                urls = add_vhosts(started, [f"tests-{number}" for number in range(_VHOSTS)], _CALM)
                places.write_text("\n".join(urls))
            self._held.append(_lock(self.directory / "used", fcntl.LOCK_SH))
        return self._each(places)

    def _each(self, places: Path) -> Iterator[str]:
        while True:
            with self._locked("next", fcntl.LOCK_EX):
                url, _, others = places.read_text().partition("\n")
                places.write_text(others)
            if not url:
                return
            yield url

    def release(self) -> None:
        """Release the node. The worker that started it waits for the others, and stops it."""
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
end, [{names}]),
{then}
"""


def add_vhosts(to: Node, names: Sequence[str], then: str = "ok.") -> list[str]:
    """Create virtual hosts on a node, and run more Erlang; return their URLs. All at once, because each rabbitmqctl
    takes a second of CPU."""
    user = to.amqp_url.removeprefix("amqp://").partition(":")[0]
    quoted = ",".join(f'<<"{name}">>' for name in names)
    to.ctl("eval", _ADD_VHOSTS.format(user=f'<<"{user}">>', names=quoted, then=then))
    return [to.amqp_url.removesuffix("%2F") + name for name in names]


def emptied(url: str) -> Iterator[str]:
    """Yield the one virtual host of an external broker, each time cleared of what an earlier use left there."""
    while True:
        ours = sitecrew(Ladder())
        with RabbitBroker([url], ours)._channel() as channel:
            for queue in ours.queues:
                channel.queue_delete(queue.name)
            for exchange in ours.exchanges:
                channel.exchange_delete(exchange.name)
        yield url


class Brokers:
    """Creates brokers on empty virtual hosts, and closes them all together."""

    def __init__(self, vhosts: Iterator[str]) -> None:
        self._vhosts = vhosts
        self._made: list[RabbitBroker] = []

    def url(self) -> str:
        """Return the URL of an empty virtual host."""
        url = next(self._vhosts, None)
        assert url, "more brokers than virtual hosts: raise _VHOSTS"
        return url

    def broker(self, topology: Topology, url: str | None = None) -> RabbitBroker:
        """Create a broker on an empty virtual host, or on a given one."""
        self._made.append(RabbitBroker([url or self.url()], topology, "tests"))
        return self._made[-1]

    def close(self) -> None:
        while self._made:
            self._made.pop().close()


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self._time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._time

    def advance(self, time: timedelta) -> None:
        self._time += time


def until(condition: Callable[[], bool], seconds: float, *, pause: float = 0.01) -> None:
    """Poll until a condition is true; fail after a number of seconds."""
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, f"did not come true within {seconds} s"
        Event().wait(pause)


def eventually(answer: Callable[[], object], wanted: object, seconds: float) -> None:
    """Poll until the answer is as expected; fail with the last answer after a number of seconds."""
    ends = monotonic() + seconds
    while (given := answer()) != wanted:
        assert monotonic() < ends, f"still {given!r} after {seconds} s; wanted {wanted!r}"
        Event().wait(0.01)


def gather(consumer: Consumer, count: int, seconds: float) -> list[Delivery]:
    """Take exactly this many deliveries; fail if they do not arrive in time."""
    ends = monotonic() + seconds
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += consumer.take(count - len(taken), max(0.0, ends - monotonic()))
        assert len(taken) >= count or monotonic() < ends, f"{len(taken)} of {count} came within {seconds} s"
    return taken
