"""Declaring a topology, and comparing the broker with it."""

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from foundation.broker.topology import Exchange, Queue, Topology
from foundation.errors import BrokerUnreachable

FORBIDDEN = 403
NOT_FOUND = 404
IN_USE_ALREADY = 406


def declare(connection: pika.BlockingConnection, topology: Topology) -> None:
    """Declare everything; or, with a user who may not, what nobody else declares. Raises BrokerUnreachable if the
    others have not declared the rest yet."""
    try:
        _declare(connection.channel(), topology)
    except ChannelClosedByBroker as closed:
        if closed.reply_code != FORBIDDEN or not topology.own:
            raise
        _declare_own(connection.channel(), topology.only_own())


def _declare_own(channel: BlockingChannel, own: Topology) -> None:
    try:
        _declare(channel, own)
    except ChannelClosedByBroker as closed:
        if closed.reply_code != NOT_FOUND:
            raise
        raise BrokerUnreachable(f"{closed.reply_text}: the other services declare it at their start") from None


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
    for bound in topology.retired:  # RabbitMQ takes the removal of what is not there for done
        channel.queue_unbind(bound.target, bound.source, bound.key)


def difference(connection: pika.BlockingConnection, item: Exchange | Queue) -> str | None:
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
        if closed.reply_code == NOT_FOUND:
            return f"{kind} {item.name} is missing; create it with `sitecrew topology declare`"
        return f"{kind} {item.name} differs: {refusal(closed)}"
    return None


def refusal(closed: ChannelClosedByBroker) -> str:
    """The broker's message. Something of the same name that differs may belong to another application."""
    if closed.reply_code == IN_USE_ALREADY and "inequivalent" in closed.reply_text:
        return (
            f"{closed.reply_text}. If that belongs to another application, give Sitecrew its own virtual host: "
            "rabbitmqctl add_vhost sitecrew, set_permissions, and /sitecrew at the end of amqp_url"
        )
    return str(closed.reply_text)
