"""One connection, kept up by one I/O thread."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any, Protocol

import pika
import structlog
from pika.adapters.select_connection import SelectConnection
from pika.exceptions import ConnectionBlockedTimeout

from foundation.addresses import HostPort
from foundation.broker.losses import Losses
from foundation.broker.rabbit.frames import Connection
from foundation.broker.rabbit.probe import Probe, pause
from foundation.broker.topology import PROBE, Topology
from foundation.errors import BrokerUnreachable

_PAUSES = (0.1, 0.5, 1, 2, 3, 5)
"""Seconds between rounds of connection attempts, jittered."""
_USEFUL = 5.0
"""Seconds that a connection must have lasted for the pauses to start over."""
_OPENING = 5.0
"""Seconds that a first connection may take before it counts as missing: a batch opens one at every tick."""
_ENDING = 1.0
"""Seconds that pika may take to close a socket."""

_log = structlog.get_logger(__name__)


class Nodes(Protocol):
    """What a link needs from its broker."""

    topology: Topology
    reconnections: int
    links: "set[Link]"
    probe_timeout: float

    @property
    def size(self) -> int: ...

    def shuffled(self) -> list[pika.ConnectionParameters]: ...

    def doubt(self, node: pika.ConnectionParameters, *, doubted: bool) -> None: ...

    def declare_on(self, node: pika.ConnectionParameters) -> None: ...

    def why(self, error: BaseException) -> str: ...


def terminate(connection: pika.connection.Connection, error: Exception) -> None:
    """Have a connection end without telling the broker; its loop has to run on for that."""
    connection._terminate_stream(error)  # noqa: SLF001  # nothing else does


def _drop(connection: SelectConnection, error: Exception) -> None:
    """Close the socket of a connection whose loop has ended before it."""
    with suppress(Exception):
        terminate(connection, error)
        connection.ioloop.call_later(_ENDING, connection.ioloop.stop)
        connection.ioloop.start()  # until it is closed, which stops it


class Link:
    """One connection, kept up by one I/O thread until it is closed.

    `opened(channel)` runs on the I/O thread for each new channel, `closed()` when the link has been
    closed from our side. Whatever closes the channel (a deleted queue, a missing exchange) closes the
    connection too, and the next one declares the topology again: one recovery for every failure.

    A node that does not answer the probe is left for another, if there is another.
    """

    def __init__(self, broker: Nodes, name: str, opened: Callable[[Any], None], closed: Callable[[], None]) -> None:
        self.name = name
        self._broker = broker
        self._opened = opened
        self._closed = closed
        self._began = self._lost_at = monotonic()
        self._connection: SelectConnection | None = None
        self._channel: Any = None
        self._blocked = False
        self._probes = any(queue.name == PROBE for queue in broker.topology.queues)
        self._failures = 0
        """How many probes in a row were not answered."""
        self._losses = Losses()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"amqp {name}", daemon=True)
        broker.links.add(self)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether it should have a channel, but lost it, or did not get one in time."""
        if self._closing.is_set() or (self._channel is not None and self._channel.is_open):
            return False
        return self._channel is not None or monotonic() - self._began > _OPENING

    @property
    def lost_for(self) -> float:
        """Seconds since it lost its connection, or began to look for its first one; 0 while it has one."""
        return max(0.0, monotonic() - self._lost_at)

    @property
    def is_cut_off(self) -> bool:
        """Whether its last probe was not answered."""
        return self._failures > 0

    def call(self, work: Callable[[], None]) -> None:
        """Run `work` on the I/O thread; nothing happens while there is no connection."""
        connection = self._connection
        if connection is not None and not connection.is_closed:
            connection.ioloop.add_callback_threadsafe(work)

    def close(self) -> None:
        self._closing.set()
        self.call(self._disconnect)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=15)
        self._broker.links.discard(self)
        self._closed()

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            declare = failures > 0 or self._connection is not None
            worked = any(self._serve(node, declare) for node in self._broker.shuffled())
            failures = 0 if worked else failures + 1
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            self._closing.wait(pause * random.uniform(0.5, 1.5))

    def _serve(self, node: pika.ConnectionParameters, declare: bool) -> bool:
        """Run one connection until it ends; return whether it was of use. One that is closed right
        after it opens is not, and must be retried with growing pauses."""
        if self._closing.is_set():
            return True
        ended: list[BaseException] = []
        began, before = monotonic(), self._channel
        try:
            if declare:
                self._broker.declare_on(node)
            self._connect(node, ended)
        except Exception as error:  # noqa: BLE001  # the I/O thread must outlive whatever happens on it
            ended.append(error)
        self._lost_at = min(self._lost_at, monotonic())
        lived = monotonic() - began > _USEFUL
        if lived and self._channel is not before:
            self._losses.forget()
        if not self._closing.is_set():
            self._tell(str(HostPort(node.host, node.port)), self._broker.why(ended[0]) if ended else "ended")
        return lived

    def _tell(self, node: str, reason: str) -> None:
        if number := self._losses.to_tell(node, reason):
            _log.warning("broker.disconnected", connection=self.name, node=node, reason=reason, number=number)

    def _connect(self, node: pika.ConnectionParameters, ended: list[BaseException]) -> None:
        connection = Connection(
            node,
            on_open_callback=self._open_channel,
            on_open_error_callback=lambda _, error: self._ended(ended, error),
            on_close_callback=lambda _, error: self._ended(ended, error),
        )
        try:
            self._connection = connection
            if self._closing.is_set():
                self.call(self._disconnect)
            connection.ioloop.start()
        except Exception as error:
            # Pika's loop raises when it is disconnected while it connects, and whatever `call` was given raises.
            if not connection.is_closed:
                _drop(connection, error)
            raise
        finally:
            connection.ioloop.close()

    def _open_channel(self, connection: SelectConnection) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._is_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._is_blocked(False))
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self._broker.reconnections += self._channel is not None
        self._channel = channel
        self._lost_at = inf
        if self._probes:
            self._probe(channel.connection)
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_cancel_callback(lambda _: self._disconnect())
        self._opened(channel)

    def _channel_closed(self, _channel: object, reason: BaseException) -> None:
        if not self._closing.is_set():
            _log.warning("broker.channel_closed", connection=self.name, reason=str(reason))
        self._disconnect()

    def _probe(self, connection: SelectConnection) -> None:
        node, timeout = connection.params, self._broker.probe_timeout
        Probe(
            connection,
            timeout,
            pause(self._failures, self._broker.size, timeout),
            answered=lambda: self._answered(node),
            failed=lambda: self._unanswered(connection, node),
            refused=self._not_probed,
        )

    def _answered(self, node: pika.ConnectionParameters) -> None:
        self._failures = 0
        self._broker.doubt(node, doubted=False)

    def _unanswered(self, connection: SelectConnection, node: pika.ConnectionParameters) -> None:
        if self._blocked:  # then the broker reads nothing from us, not even this question
            return
        self._failures += 1
        self._broker.doubt(node, doubted=True)
        where, number = str(HostPort(node.host, node.port)), self._failures
        _log.warning("broker.cut_off", connection=self.name, node=where, number=number)
        if self._broker.size > 1 and connection.is_open:
            terminate(connection, BrokerUnreachable("it reaches no majority of its cluster"))

    def _not_probed(self, reason: str) -> None:
        _log.warning("broker.not_probed", connection=self.name, reason=reason)

    def _is_blocked(self, blocked: bool) -> None:
        self._blocked = blocked

    def _disconnect(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closing or connection.is_closed:
            return
        if self._blocked:  # the broker reads nothing that we send, so it would not hear us close
            terminate(connection, ConnectionBlockedTimeout("an alarm"))
        elif self.is_cut_off:  # it would not say that it has closed before it has reached the others
            terminate(connection, BrokerUnreachable("it is cut off"))
        else:
            connection.close()

    def _ended(self, ended: list[BaseException], error: BaseException) -> None:
        ended.append(error)
        if self._connection is not None:
            self._connection.ioloop.stop()
