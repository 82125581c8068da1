"""RabbitMQ as a broker: one-off requests, and opening publishers and consumers."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import inf
from time import monotonic

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionBlockedTimeout,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from foundation.addresses import HostPort
from foundation.broker import Consumer, Delivery, Publisher
from foundation.broker.address import nodes_of
from foundation.broker.rabbit.address import parameters
from foundation.broker.rabbit.browsing import heads, reserve
from foundation.broker.rabbit.consumer import RabbitConsumer
from foundation.broker.rabbit.declaring import FORBIDDEN, NOT_FOUND, declare, difference, may_be_there, missing, refusal
from foundation.broker.rabbit.link import Link, terminate
from foundation.broker.rabbit.publisher import RabbitPublisher
from foundation.broker.rabbit.reasons import reason_of
from foundation.broker.tls import Tls
from foundation.broker.topology import EVENTS, PARKING, Exchange, Queue, Topology
from foundation.broker.turns import Turns
from foundation.errors import BrokerUnreachable, ConfigurationError, Refused, SitecrewError

_TOO_LARGE = 406
_NOWHERE = "doctor.looked"
"""A key that no queue is bound for."""
_ALARMED = 0.5
"""Seconds to wait for the broker to report an alarm, which it does at once."""
_PATIENCE = 15.0
_PROBED = 30.0
_DOUBTED = 600.0
"""Seconds for which a node that was left is the last to be tried."""
_TAKES_TURNS = 30.0
"""Seconds to wait while somebody else reads a queue from its head."""


class RabbitBroker:
    """RabbitMQ at its URLs: `amqp://` or `amqps://`, one per cluster node (commas separate them in one text). A node
    that does not answer within `patience` seconds is skipped, one that has not reached a majority of its cluster within
    `probe_timeout` seconds is left for another."""

    def __init__(
        self,
        urls: Sequence[str],
        topology: Topology,
        name: str = "sitecrew",
        *,
        patience: float = _PATIENCE,
        probe_timeout: float = _PROBED,
        tls: Tls | None = None,
    ) -> None:
        self.topology = topology
        self.reconnections = 0
        self.missed = set[str]()
        self.probe_timeout = probe_timeout
        self._patience = patience
        self._nodes = [parameters(url, name, patience, tls or Tls()) for url in nodes_of(",".join(urls))]
        self.links = set[Link]()
        """The links of everything that is open through this broker."""
        self._doubted: dict[HostPort, float] = {}
        """When a node was left (monotonic seconds)."""

    @property
    def user(self) -> str:
        return str(getattr(self._nodes[0].credentials, "username", ""))

    def declare(self) -> bool:
        with self._connection() as connection:
            return self._declare(connection)

    def _declare(self, connection: BlockingConnection) -> bool:
        self.missed.update(missing(connection, self.topology, self.topology.copies))
        return declare(connection, self.topology)

    def differences(self) -> list[str]:
        with self._connection() as connection:
            wanted: list[Exchange | Queue] = [*self.topology.exchanges, *self.topology.queues]
            return [found for item in wanted if (found := difference(connection, item))]

    def version(self) -> str:
        """The version that the broker reports."""
        with self._connection() as connection:
            return str(connection._impl.server_properties.get("version", "?"))  # noqa: SLF001  # pika keeps it there

    def alarm(self) -> str:
        """The alarm that blocks publishers, such as `low on disk`; empty if there is none. The broker tells only
        publishers, so this publishes a message that is routed nowhere. Raises Refused without permission to publish."""
        said: list[str] = []
        with self._connection() as connection:
            connection.add_on_connection_blocked_callback(lambda _, blocked: said.append(str(blocked.method.reason)))
            channel = connection.channel()
            channel.basic_publish(EVENTS, _NOWHERE, b"")
            ends = monotonic() + _ALARMED
            while not said and channel.is_open and (left := ends - monotonic()) > 0:
                connection.process_data_events(left)
            if said:
                _abandon(connection)
            else:
                _was_taken(channel)
        return said[0] if said else ""

    def takes(self, size: int) -> bool:
        """Whether the broker accepts a message of so many bytes, which is routed nowhere. Gets no answer during an
        alarm. Raises Refused without permission to publish."""
        with self._connection() as connection:
            channel = connection.channel()
            channel.basic_publish(EVENTS, _NOWHERE, b" " * size)
            return _was_taken(channel)

    def publisher(self) -> Publisher:
        return RabbitPublisher(self)

    def consumer(self, queue: str | Turns, prefetch: int) -> Consumer:
        turns = queue if isinstance(queue, Turns) else Turns(queue)
        declared = next((one.arguments for one in self.topology.queues if one.name == turns.queue), {})
        return RabbitConsumer(self, turns, prefetch, one_active=bool(declared.get("x-single-active-consumer")))

    def watch(self, exchange: str, *patterns: str) -> Consumer:
        consumer = RabbitConsumer(self, Turns(""), 1000, watched=(exchange, patterns))
        if not consumer.ready.wait(self._patience):
            consumer.close()
            raise self._unreachable(f"no answer within {self._patience:g} s")
        return consumer

    def disconnected(self) -> list[str]:
        return sorted(link.name for link in tuple(self.links) if link.is_lost)

    def lost_for(self) -> float:
        return max((link.lost_for for link in tuple(self.links) if link.is_lost), default=0)

    def cut_off(self) -> list[str]:
        return sorted(link.name for link in tuple(self.links) if link.is_cut_off)

    def depth(self, queue: str) -> int | None:
        return self.depths([queue]).get(queue)

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        with self._connection() as connection:
            found = {queue: _depth(connection, queue) for queue in queues}
        return {queue: number for queue, number in found.items() if number is not None}

    def is_missing(self, queue: str) -> bool:
        with self._connection() as connection:
            return not may_be_there(connection, Queue(queue, {}))

    def consumers(self, queue: str) -> int:
        with self._channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.consumer_count)

    def browse(self, queue: str, limit: int) -> list[Delivery]:
        with self._connection() as connection:
            return list(heads(reserve(connection, queue, _TAKES_TURNS), queue, limit))

    def remove(self, queue: str, names: Sequence[str]) -> list[str]:
        wanted, removed = Counter(names), []
        with self._connection() as connection:
            channel = reserve(connection, queue, _TAKES_TURNS)
            for delivery in heads(channel, queue, limit=1_000_000):
                if wanted[delivery.name]:
                    channel.basic_ack(delivery.tag)
                    removed.append(delivery.name)
                    wanted[delivery.name] -= 1
                if not wanted.total():
                    break
        return removed

    def close(self) -> None:
        for link in tuple(self.links):
            link.close()

    @property
    def size(self) -> int:
        """How many nodes it may connect to."""
        return len(self._nodes)

    def shuffled(self) -> list[pika.ConnectionParameters]:
        """The nodes, in the order in which to try them."""
        return sorted(random.sample(self._nodes, self.size), key=self._last_doubt)

    def _last_doubt(self, node: pika.ConnectionParameters) -> float:
        doubted = self._doubted.get(HostPort(node.host, node.port), -inf)
        return doubted if monotonic() - doubted < _DOUBTED else -inf

    def doubt(self, node: pika.ConnectionParameters, *, doubted: bool) -> None:
        """Note whether a node reaches a majority of its cluster: one that does not is tried last for some time."""
        self._doubted[HostPort(node.host, node.port)] = monotonic() if doubted else -inf

    def declare_on(self, node: pika.ConnectionParameters) -> None:
        connection = pika.BlockingConnection(node)
        try:
            self._declare(connection)
        finally:
            _hang_up(connection)

    @contextmanager
    def _connection(self) -> Iterator[pika.BlockingConnection]:
        """Treat every exception out of pika as RabbitMQ being unreachable: they have no common base (those of
        its connector are neither AMQPError nor OSError), and a peer that is not RabbitMQ causes others still."""
        connection = self._connected()
        try:
            yield connection
        except SitecrewError:
            raise
        except ChannelClosedByBroker as closed:
            raise ConfigurationError(f"RabbitMQ says: {refusal(closed)}. See `sitecrew topology check`") from None
        except Exception as error:  # noqa: BLE001
            raise self._unreachable(self.why(error)) from None
        finally:
            _hang_up(connection)

    def _connected(self) -> pika.BlockingConnection:
        """A connection to the first node that accepts us."""
        reasons: list[str] = []
        for node in self.shuffled():
            try:
                return pika.BlockingConnection(node)
            except Exception as error:  # noqa: BLE001  # see above
                reasons.append(self.why(error))
        raise self._unreachable("; ".join(dict.fromkeys(reasons)))

    def why(self, error: BaseException) -> str:
        """What went wrong with a connection, in words."""
        if isinstance(error, SitecrewError):
            return str(error)
        if isinstance(error, ProbableAuthenticationError | ProbableAccessDeniedError):
            return f"it refused the user {self.user}, the password or the virtual host"
        return reason_of(error, self._patience, tls=self._nodes[0].ssl_options is not None)

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        with self._connection() as connection:
            yield connection.channel()

    def _unreachable(self, reason: str) -> BrokerUnreachable:
        nodes = ", ".join(str(HostPort(node.host, node.port)) for node in self._nodes)
        return BrokerUnreachable(f"cannot use RabbitMQ at {nodes}: {reason}. Check amqp_url (SITECREW_AMQP_URL)")


def _depth(connection: BlockingConnection, queue: str) -> int | None:
    channel = connection.channel()
    try:
        number = int(channel.queue_declare(queue, passive=True).method.message_count)
    except ChannelClosedByBroker as closed:
        if closed.reply_code in (NOT_FOUND, FORBIDDEN):  # see declaring.py for who is forbidden to look
            return None
        raise
    channel.close()
    return number


def _was_taken(channel: BlockingChannel) -> bool:
    """Whether the message just published was accepted; False if it was too large."""
    try:
        if channel.is_closed:
            raise channel._closing_reason  # noqa: SLF001  # pika keeps it there
        channel.queue_declare(PARKING, passive=True)  # any answer will do: a refusal comes before it
    except ChannelClosedByBroker as closed:
        if closed.reply_code == _TOO_LARGE and "larger than" in closed.reply_text:
            return False
        if closed.reply_code != FORBIDDEN:
            raise
        if f"queue '{PARKING}'" not in closed.reply_text:  # see declaring.py for who is forbidden to look at that
            raise Refused(f"its user may not publish to {EVENTS}") from None
    return True


def _abandon(connection: pika.BlockingConnection) -> None:
    """Drop the connection without telling the broker, which reads nothing from us during an alarm."""
    with suppress(Exception):
        terminate(connection._impl, ConnectionBlockedTimeout("an alarm"))  # noqa: SLF001  # pika keeps it there
        connection.process_data_events(1)


def _hang_up(connection: pika.BlockingConnection) -> None:
    with suppress(Exception):  # it is of no use any more, whatever it says
        if connection.is_open:
            connection.close()
    if not connection.is_closed:  # closing failed half way
        _abandon(connection)
