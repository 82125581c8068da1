"""RabbitMQ, spoken to through pika. The only module that knows pika.

Each publisher and each consumer has a connection of its own, run by one I/O thread; every pika call
happens on that thread. Other threads hand work in through `call` and never touch a channel.
"""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import compress
from queue import Empty
from queue import Queue as Waiting
from time import monotonic
from typing import Any

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.select_connection import SelectConnection
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionBlockedTimeout,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from foundation.addresses import HostPort
from foundation.broker import Consumer, Delivery, Message, Outcome, Publisher
from foundation.broker.address import nodes_of, options_of
from foundation.broker.limits import MAX_BYTES, can_be_sent
from foundation.broker.losses import Losses
from foundation.broker.reasons import reason_of
from foundation.broker.tls import Tls, context_of
from foundation.broker.topology import EVENTS, PARKING, Exchange, Queue, Topology
from foundation.broker.window import Window
from foundation.errors import BrokerUnreachable, ConfigurationError, Refused, SitecrewError

_PAUSES = (0.1, 0.5, 1, 2, 3, 5)
"""Seconds between rounds of connection attempts, jittered."""
_USEFUL = 5.0
"""Seconds that a connection must have lived for the pauses to begin anew."""
_OPENING = 5.0
"""Seconds in which a first connection is not missed yet: a batch opens one at every tick."""
_NOT_FOUND = 404
_FORBIDDEN = 403
_IN_USE_ALREADY = _TOO_LARGE = 406
_NOWHERE = "doctor.looked"
"""A key that no queue is bound for."""
_ALARMED = 0.5
"""Seconds within which the broker tells who publishes of an alarm; it does so at once."""
_HEARTBEAT, _BLOCKED = 30, 300
"""Seconds. After so long without a sign of life, or blocked by an alarm, a connection is given up."""
_PATIENCE = 15.0

_log = structlog.get_logger(__name__)
_epochs = itertools.count(1)


class RabbitBroker:
    """RabbitMQ by its URLs: `amqp://` or `amqps://`, several for the nodes of a cluster (in one text, commas
    separate them). A node that does not answer within `patience` seconds is passed over."""

    def __init__(
        self,
        urls: Sequence[str],
        topology: Topology,
        name: str = "sitecrew",
        *,
        patience: float = _PATIENCE,
        tls: Tls | None = None,
    ) -> None:
        self.topology = topology
        self.reconnections = 0
        self._patience = patience
        self._nodes = [_parameters(url, name, patience, tls or Tls()) for url in nodes_of(",".join(urls))]
        self.links: set[_Link] = set()
        """Those of what was opened through this broker and is not closed."""

    @property
    def user(self) -> str:
        return str(getattr(self._nodes[0].credentials, "username", ""))

    def declare(self) -> None:
        with self._channel() as channel:
            _declare(channel, self.topology)

    def differences(self) -> list[str]:
        with self._connection() as connection:
            wanted: list[Exchange | Queue] = [*self.topology.exchanges, *self.topology.queues]
            return [found for item in wanted if (found := _difference(connection, item))]

    def version(self) -> str:
        """The broker's own word for its version."""
        with self._connection() as connection:
            return str(connection._impl.server_properties.get("version", "?"))  # noqa: SLF001  # pika keeps it there

    def alarm(self) -> str:
        """The alarm that keeps publishers waiting, such as `low on disk`; empty if there is none. Only who publishes is
        told, so a message is published that goes nowhere. Raises Refused if we may not."""
        said: list[str] = []
        with self._connection() as connection:
            connection.add_on_connection_blocked_callback(lambda _, blocked: said.append(str(blocked.method.reason)))
            channel = connection.channel()
            channel.basic_publish(EVENTS, _NOWHERE, b"")
            ends = monotonic() + _ALARMED
            while not said and (left := ends - monotonic()) > 0:
                connection.process_data_events(left)
            if said:
                _abandon(connection)
            else:
                _was_taken(channel)
        return said[0] if said else ""

    def takes(self, size: int) -> bool:
        """Whether a message of so many bytes is taken; it goes nowhere. Not to be asked during an alarm, when there is
        no answer. Raises Refused if we may not publish."""
        with self._connection() as connection:
            channel = connection.channel()
            channel.basic_publish(EVENTS, _NOWHERE, b" " * size)
            return _was_taken(channel)

    def publisher(self) -> Publisher:
        return RabbitPublisher(self)

    def consumer(self, queue: str, prefetch: int) -> Consumer:
        return RabbitConsumer(self, queue, prefetch)

    def watch(self, exchange: str, *patterns: str) -> Consumer:
        consumer = RabbitConsumer(self, "", 1000, watched=(exchange, patterns))
        if not consumer.ready.wait(self._patience):
            consumer.close()
            raise self._unreachable(f"no answer within {self._patience:g} s")
        return consumer

    def disconnected(self) -> list[str]:
        return sorted(link.name for link in tuple(self.links) if link.is_lost)

    def depth(self, queue: str) -> int | None:
        with self._channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).method.message_count)
            except ChannelClosedByBroker as closed:
                if closed.reply_code == _NOT_FOUND:
                    return None
                raise

    def consumers(self, queue: str) -> int:
        """How many there are of a queue that exists."""
        with self._channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.consumer_count)

    def browse(self, queue: str, limit: int) -> list[Delivery]:
        with self._channel() as channel:
            return list(_heads(channel, queue, limit))

    def remove(self, queue: str, names: Sequence[str]) -> list[str]:
        wanted, removed = Counter(names), []
        with self._channel() as channel:
            for delivery in _heads(channel, queue, limit=1_000_000):
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

    def shuffled(self) -> list[pika.ConnectionParameters]:
        return random.sample(self._nodes, len(self._nodes))

    def declare_on(self, node: pika.ConnectionParameters) -> None:
        connection = pika.BlockingConnection(node)
        try:
            _declare(connection.channel(), self.topology)
        finally:
            _hang_up(connection)

    @contextmanager
    def _connection(self) -> Iterator[pika.BlockingConnection]:
        """Whatever comes out of pika while it is used means that RabbitMQ is away: its exceptions have no
        common family (those of its connector are neither AMQPError nor OSError), and a peer that speaks
        nonsense brings out others still."""
        connection = self._connected()
        try:
            yield connection
        except SitecrewError:
            raise
        except ChannelClosedByBroker as closed:
            raise ConfigurationError(f"RabbitMQ says: {_refusal(closed)}. See `sitecrew topology check`") from None
        except Exception as error:  # noqa: BLE001
            raise self._unreachable(self.why(error)) from None
        finally:
            _hang_up(connection)

    def _connected(self) -> pika.BlockingConnection:
        """A connection to the first node that takes us."""
        reasons: list[str] = []
        for node in self.shuffled():
            try:
                return pika.BlockingConnection(node)
            except Exception as error:  # noqa: BLE001  # see above
                reasons.append(self.why(error))
        raise self._unreachable("; ".join(dict.fromkeys(reasons)))

    def why(self, error: BaseException) -> str:
        """What went wrong with a connection, in words."""
        if isinstance(error, ProbableAuthenticationError | ProbableAccessDeniedError):
            return "it refused the user, the password or the virtual host"
        return reason_of(error, self._patience, tls=self._nodes[0].ssl_options is not None)

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        with self._connection() as connection:
            yield connection.channel()

    def _unreachable(self, reason: str) -> BrokerUnreachable:
        nodes = ", ".join(str(HostPort(node.host, node.port)) for node in self._nodes)
        return BrokerUnreachable(f"RabbitMQ at {nodes} can't be used: {reason}. Check amqp_url (SITECREW_AMQP_URL)")


def _parameters(url: str, name: str, patience: float, tls: Tls) -> pika.URLParameters:
    """What the address says after its `?` wins over what we would choose."""
    said = options_of(url)
    if unknown := [option for option in said if not hasattr(pika.URLParameters, f"_set_url_{option}")]:
        raise ConfigurationError(
            f"amqp_url: {unknown[0]!r} after the ? is unknown; heartbeat and blocked_connection_timeout, in seconds, "
            "are known. For TLS there are the settings amqp_tls.*"
        )
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, AttributeError, LookupError, SyntaxError):
        raise ConfigurationError("amqp_url: what it says after the ? can't be read") from None
    chosen = {
        "heartbeat": _HEARTBEAT,
        "blocked_connection_timeout": _BLOCKED,
        "socket_timeout": patience,
        "stack_timeout": patience,
        "connection_attempts": 1,
    }
    for option, value in chosen.items():
        if option not in said:
            setattr(parameters, option, value)
    parameters.client_properties = {"connection_name": name}
    _secure(parameters, tls, own_way="ssl_options" in said)
    return parameters


def _secure(parameters: pika.URLParameters, tls: Tls, *, own_way: bool) -> None:
    if parameters.ssl_options is None and tls.is_wanted:
        raise ConfigurationError("amqp_tls is set, but amqp_url begins with amqp://: write amqps://, usually port 5671")
    if parameters.ssl_options is not None and not own_way:
        parameters.ssl_options = pika.SSLOptions(context_of(tls), tls.server_name or parameters.host)


def _refusal(closed: ChannelClosedByBroker) -> str:
    """The broker's words. Where something of the same name is there and different, it may be another application's."""
    if closed.reply_code == _IN_USE_ALREADY and "inequivalent" in closed.reply_text:
        return (
            f"{closed.reply_text}. If that is another application's, give Sitecrew a virtual host of its own: "
            "rabbitmqctl add_vhost sitecrew, set_permissions, and /sitecrew at the end of amqp_url"
        )
    return str(closed.reply_text)


def _was_taken(channel: BlockingChannel) -> bool:
    """Whether what was just published was taken; False if it was too large."""
    try:
        channel.queue_declare(PARKING, passive=True)  # any answer will do: a refusal comes before it
    except ChannelClosedByBroker as closed:
        if closed.reply_code == _TOO_LARGE and "larger than" in closed.reply_text:
            return False
        if closed.reply_code == _FORBIDDEN:
            raise Refused(f"its user may not publish to {EVENTS}") from None
        raise
    return True


def _abandon(connection: pika.BlockingConnection) -> None:
    """While an alarm blocks us, the broker reads nothing that we send, not even a goodbye: `close` would wait for its
    end."""
    with suppress(Exception):
        connection._impl._terminate_stream(ConnectionBlockedTimeout("an alarm"))  # noqa: SLF001  # nothing else does
        connection.process_data_events(1)


def _hang_up(connection: pika.BlockingConnection) -> None:
    with suppress(Exception):  # it is of no use any more, whatever it says
        if connection.is_open:
            connection.close()


def _declare(channel: BlockingChannel, topology: Topology) -> None:
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True, arguments=exchange.arguments)
    for queue in topology.queues:
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
    for bound in topology.bindings:
        if bound.to_exchange:
            channel.exchange_bind(bound.target, bound.source, bound.key)
        else:
            channel.queue_bind(bound.target, bound.source, bound.key)


def _difference(connection: pika.BlockingConnection, item: Exchange | Queue) -> str | None:
    kind = "queue" if isinstance(item, Queue) else "exchange"
    try:
        channel = connection.channel()
        # Asking passively first: declaring what is not there would create it.
        for passive in (True, False):
            if isinstance(item, Queue):
                channel.queue_declare(item.name, passive=passive, durable=True, arguments=item.arguments)
            else:
                channel.exchange_declare(item.name, item.kind, passive=passive, durable=True, arguments=item.arguments)
        channel.close()
    except ChannelClosedByBroker as closed:
        if closed.reply_code == _NOT_FOUND:
            return f"{kind} {item.name} is missing; `sitecrew topology declare` makes it"
        return f"{kind} {item.name} differs: {_refusal(closed)}"
    return None


def _heads(channel: BlockingChannel, queue: str, limit: int) -> Iterator[Delivery]:
    """Messages from the head of a queue; the broker takes back what is not acknowledged."""
    for _ in range(limit):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield _delivery(queue, method, properties, body, epoch=0)


def _delivery(queue: str, method: Any, properties: pika.BasicProperties, body: bytes, epoch: int) -> Delivery:
    headers = {_text(name): value for name, value in (properties.headers or {}).items()}
    # The broker's own count comes with the second delivery; before, such a header is the sender's.
    count = headers.get("x-delivery-count", 1) if method.redelivered else 0
    return Delivery(
        queue=queue,
        body=body,
        content_type=_text(properties.content_type),
        message_id=_text(properties.message_id),
        type=_text(properties.type),
        headers=headers,
        redeliveries=count if isinstance(count, int) else 1,
        tag=method.delivery_tag,
        epoch=epoch,
        exchange=_text(method.exchange),
        routing_key=_text(method.routing_key),
        user_id=_text(properties.user_id),
    )


def _text(name: str | bytes | None) -> str:
    """A name that a sender gave; pika leaves what is not UTF-8 as bytes. It must not grow, or it could
    not be sent on when the message is parked."""
    return name.decode("ascii", "replace").replace("\ufffd", "?") if isinstance(name, bytes) else name or ""


class _Link:
    """One connection, kept up by one I/O thread until it is closed.

    `opened(channel)` runs on the I/O thread whenever a new channel is there, `closed()` when the link
    has been closed from our side. Whatever closes the channel (a queue deleted, a missing exchange)
    closes the connection too, and the next one declares the topology anew: one way back from every
    trouble.
    """

    def __init__(
        self, broker: RabbitBroker, name: str, opened: Callable[[Any], None], closed: Callable[[], None]
    ) -> None:
        self.name = name
        self._broker = broker
        self._opened = opened
        self._closed = closed
        self._began = monotonic()
        self._connection: SelectConnection | None = None
        self._channel: Any = None
        self._blocked = False
        self._losses = Losses()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"amqp {name}", daemon=True)
        broker.links.add(self)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether it is to have a channel, and has lost it, or got none for longer than that takes."""
        if self._closing.is_set() or (self._channel is not None and self._channel.is_open):
            return False
        return self._channel is not None or monotonic() - self._began > _OPENING

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
        """Live on one connection until it ends; whether it was of use. One that opens and is closed
        again at once is not, and must not be tried again without a growing pause."""
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
        connection = SelectConnection(
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
        finally:  # pika's loop raises when it is disconnected while it connects
            connection.ioloop.close()

    def _open_channel(self, connection: SelectConnection) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._is_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._is_blocked(False))
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self._broker.reconnections += self._channel is not None
        self._channel = channel
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_cancel_callback(lambda _: self._disconnect())
        self._opened(channel)

    def _channel_closed(self, _channel: object, reason: BaseException) -> None:
        if not self._closing.is_set():
            _log.warning("broker.channel_closed", connection=self.name, reason=str(reason))
        self._disconnect()

    def _is_blocked(self, blocked: bool) -> None:
        self._blocked = blocked

    def _disconnect(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closing or connection.is_closed:
            return
        if self._blocked:  # the broker reads nothing that we send, so it would not hear us close
            connection._terminate_stream(ConnectionBlockedTimeout("an alarm"))  # noqa: SLF001  # nothing else does
        else:
            connection.close()

    def _ended(self, ended: list[BaseException], error: BaseException) -> None:
        ended.append(error)
        if self._connection is not None:
            self._connection.ioloop.stop()


class RabbitPublisher:
    """Publishes through a window of unconfirmed messages."""

    def __init__(self, broker: RabbitBroker) -> None:
        self._topology = broker.topology
        self._window = Window()
        self._channel: Any = None
        self._vouched = True
        """Whether the broker knows us by the name that we log in with."""
        self.link = _Link(broker, "publisher", self._opened, self._window.give_up)

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Outcome]:
        fits = [can_be_sent(message, self._topology) for message in messages]
        batch = self._window.submit(list(compress(messages, fits)), timeout)
        if batch.remaining:
            self.link.call(self._pump)
            batch.done.wait(timeout)
        outcomes = iter(list(batch.outcomes))
        return [next(outcomes) if fit else Outcome.REFUSED for fit in fits]

    def close(self) -> None:
        self.link.close()

    def _opened(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)
        channel.add_on_close_callback(self._channel_closed)
        channel.confirm_delivery(self._answered, callback=lambda _: self._ready(channel))

    def _ready(self, channel: Any) -> None:
        self._window.reopen()
        self._channel = channel
        self._pump()

    def _channel_closed(self, _channel: object, reason: BaseException) -> None:
        # Where users come from a token or a certificate, the broker may have another name for us.
        if isinstance(reason, ChannelClosedByBroker) and "user_id property" in reason.reply_text:
            self._vouched = False

    def _pump(self) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        user_id = getattr(channel.connection.params.credentials, "username", None) if self._vouched else None
        for message in self._window.take():
            properties = pika.BasicProperties(
                content_type=message.content_type,
                headers=dict(message.headers) or None,
                delivery_mode=2,
                message_id=message.message_id or None,
                correlation_id=message.correlation_id or None,
                type=message.type or None,
                user_id=user_id,
            )
            channel.basic_publish(message.exchange, message.routing_key, message.body, properties, message.mandatory)

    def _answered(self, frame: Any) -> None:
        method = frame.method
        outcome = Outcome.CONFIRMED if isinstance(method, pika.spec.Basic.Ack) else Outcome.REFUSED
        self._window.answer(method.delivery_tag, outcome, multiple=method.multiple)
        self._pump()

    def _returned(self, _channel: object, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._window.give_back(method.exchange, method.routing_key, properties.message_id or "", body)


class RabbitConsumer:
    """Deliveries of one queue, or of a private one bound to what is watched."""

    def __init__(
        self, broker: RabbitBroker, queue: str, prefetch: int, watched: tuple[str, Sequence[str]] | None = None
    ) -> None:
        self.ready = threading.Event()
        self._queue = queue
        self._prefetch = prefetch
        self._watched = watched
        # Not a SimpleQueue: where another thread is quicker, its get may outlast every timeout (CPython 3.11).
        self._arrived: Waiting[Delivery | None] = Waiting()
        self._woken = False
        self._unsettled: dict[int, None] = {}
        self._epoch = 0
        self._channel: Any = None
        self._careful = False
        """Whether one is taken at a time."""
        self.link = _Link(broker, queue or "watch", self._opened, self._closed)

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        taken: list[Delivery] = []
        ends = monotonic() + timeout
        with suppress(Empty):
            while len(taken) < limit:
                delivery = self._arrived.get(timeout=max(0.0, ends - monotonic()))
                if delivery is None:
                    self._woken = False
                elif delivery.epoch == self._epoch:
                    taken.append(delivery)
                if delivery is None or taken:
                    ends = 0.0  # what has arrived is still taken, but nothing more is waited for
        return taken

    def wake(self) -> None:
        if not self._woken:  # many wakes are one: each is a turn of somebody's loop
            self._woken = True
            self._arrived.put(None)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.link.call(partial(self._acknowledge, deliveries))

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.link.call(partial(self._reject, deliveries))

    def close(self) -> None:
        self.link.close()

    def _closed(self) -> None:
        self._epoch = 0  # what has arrived and was not taken is the broker's again

    def _opened(self, channel: Any) -> None:
        self._epoch = next(_epochs)
        self._unsettled = {}
        self._channel = channel
        self._careful = self._watched is None and self._prefetch > 1
        prefetch = 1 if self._careful else self._prefetch
        channel.basic_qos(prefetch_count=prefetch, callback=lambda _: self._subscribe(channel))

    def _subscribe(self, channel: Any) -> None:
        if self._watched is None:
            self._consume(channel, self._queue)
        else:
            channel.queue_declare("", exclusive=True, callback=partial(self._bind, channel))

    def _bind(self, channel: Any, declared: Any) -> None:
        exchange, patterns = self._watched or ("", ())
        for pattern in patterns:
            channel.queue_bind(declared.method.queue, exchange, pattern)
        self._consume(channel, declared.method.queue)

    def _consume(self, channel: Any, queue: str) -> None:
        channel.basic_consume(
            queue,
            partial(self._received, self._epoch),
            auto_ack=self._watched is not None,
            callback=lambda _: self.ready.set(),
        )

    def _received(self, epoch: int, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if self._watched is None:
            self._unsettled[method.delivery_tag] = None
            self._widen(channel, method.redelivered)
        delivery = _delivery(self._queue, method, properties, body[:MAX_BYTES], epoch)
        self._arrived.put(replace(delivery, size=len(body)) if len(body) > MAX_BYTES else delivery)

    def _widen(self, channel: Any, redelivered: bool) -> None:
        """Take as many as we may once something new has come."""
        if redelivered or not self._careful:
            return
        self._careful = False
        # A consumer keeps the prefetch that it began with, and what is on its way to one that is cancelled would be
        # handed out for nothing. So there is another beside the one that takes one at a time.
        channel.basic_qos(prefetch_count=self._prefetch - 1)
        self._consume(channel, self._queue)

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        tags = {delivery.tag for delivery in deliveries if delivery.epoch == self._epoch}
        if not self._channel.is_open:
            return
        if leading := self._leading(tags):
            self._channel.basic_ack(leading, multiple=True)
        for tag in sorted(tags):
            if self._unsettled.pop(tag, tag) is None:
                self._channel.basic_ack(tag)

    def _reject(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.epoch == self._epoch and self._channel.is_open and delivery.tag in self._unsettled:
                del self._unsettled[delivery.tag]
                self._channel.basic_reject(delivery.tag, requeue=False)

    def _leading(self, tags: set[int]) -> int:
        """Take the oldest unsettled deliveries that are all in `tags`: one frame settles them."""
        last = 0
        while self._unsettled and (oldest := next(iter(self._unsettled))) in tags:
            del self._unsettled[oldest]
            tags.discard(oldest)
            last = oldest
        return last
