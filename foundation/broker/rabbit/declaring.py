"""Declaring a topology, and comparing the broker with it."""

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from foundation.broker.topology import Exchange, Queue, Topology
from foundation.errors import BrokerUnreachable, Refused

FORBIDDEN = 403
NOT_FOUND = 404
IN_USE_ALREADY = 406
_NAMED = 3
"""How many missing things an error names."""


def declare(connection: pika.BlockingConnection, topology: Topology) -> bool:
    """Declare everything and return True. With a user who may not, look at what we need, and return False. Raises
    BrokerUnreachable if some of that is missing."""
    try:
        _declare(connection.channel(), topology)
    except ChannelClosedByBroker as closed:
        if closed.reply_code != FORBIDDEN:
            raise
        _require(connection, topology)
        return False
    return True


def missing(connection: pika.BlockingConnection, topology: Topology, names: frozenset[str]) -> list[str]:
    """Return which of these exchanges and queues are not there."""
    items: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
    return [item.name for item in items if item.name in names and not may_be_there(connection, item)]


def _require(connection: pika.BlockingConnection, topology: Topology) -> None:
    items: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
    needed = [item for item in items if item.name in topology.needed]
    missing = [called(item) for item in needed if not may_be_there(connection, item)]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise BrokerUnreachable(
            f"{', '.join(missing[:_NAMED])}{more} missing on the broker, and our user may not declare anything: an "
            "administrator must run `sitecrew topology declare`"
        )


def may_be_there(connection: pika.BlockingConnection, item: Exchange | Queue) -> bool:
    """Whether it is there, or our user may not look."""
    channel = connection.channel()
    try:
        _declare_one(channel, item, passive=True)
    except ChannelClosedByBroker as closed:
        # RabbitMQ 4.2.6 and 4.3.0 want the right to configure for a look; later ones any right, earlier ones none.
        if closed.reply_code in (NOT_FOUND, FORBIDDEN):
            return bool(closed.reply_code == FORBIDDEN)
        raise
    channel.close()
    return True


def _declare_one(channel: BlockingChannel, item: Exchange | Queue, *, passive: bool = False) -> None:
    if isinstance(item, Queue):
        channel.queue_declare(item.name, passive=passive, durable=True, arguments=item.arguments)
    else:
        channel.exchange_declare(item.name, item.kind, passive=passive, durable=True, arguments=item.arguments)


def called(item: Exchange | Queue) -> str:
    """What people call it."""
    return f"{'queue' if isinstance(item, Queue) else 'exchange'} {item.name}"


def _declare(channel: BlockingChannel, topology: Topology) -> None:
    items: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
    for item in items:
        _declare_one(channel, item)
    for bound in topology.bindings:
        if bound.to_exchange:
            channel.exchange_bind(bound.target, bound.source, bound.key)
        else:
            channel.queue_bind(bound.target, bound.source, bound.key)
    for bound in topology.retired:  # RabbitMQ takes the removal of what is not there for done
        channel.queue_unbind(bound.target, bound.source, bound.key)


def difference(connection: pika.BlockingConnection, item: Exchange | Queue) -> str | None:
    """What is wrong with it. Raises Refused if our user may not declare it, which a comparison takes."""
    try:
        channel = connection.channel()
        # Asking passively first: declaring what is not there would create it.
        for passive in (True, False):
            _declare_one(channel, item, passive=passive)
        channel.close()
    except ChannelClosedByBroker as closed:
        if closed.reply_code == NOT_FOUND:
            return f"{called(item)} is missing; create it with `sitecrew topology declare`"
        if closed.reply_code == FORBIDDEN:
            raise Refused("its user may not declare exchanges and queues, so it cannot compare them either") from None
        return f"{called(item)} differs: {refusal(closed)}"
    return None


def refusal(closed: ChannelClosedByBroker) -> str:
    """The broker's message. Something of the same name that differs may belong to another application."""
    if closed.reply_code == IN_USE_ALREADY and "inequivalent" in closed.reply_text:
        return (
            f"{closed.reply_text}. If that belongs to another application, give Sitecrew its own virtual host: "
            "rabbitmqctl add_vhost sitecrew, set_permissions, and /sitecrew at the end of amqp_url"
        )
    return str(closed.reply_text)
