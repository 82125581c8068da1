"""Reading a queue from its head, as people do who look for something in it.

RabbitMQ shows the messages of a quorum queue only by handing them out. So a second reader would find the queue empty
while the first looks, and take what is there for gone: one reads at a time. Whoever has declared the exclusive queue
`browsing.NAME` is the one. The broker deletes it with the connection, after it has taken back what that connection
held (https://www.rabbitmq.com/docs/queues#exclusive-queues), so it is never left behind.
"""

from collections.abc import Iterator
from threading import Event as Pause
from time import monotonic

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from foundation.broker import Delivery
from foundation.broker.rabbit.delivery import delivery_of
from foundation.broker.topology import browsing
from foundation.errors import Refused

_LOCKED = 405
_ASKS_AGAIN = 0.05


def reserve(connection: BlockingConnection, queue: str, patience: float) -> BlockingChannel:
    """Return a channel of the only connection that reads the queue from its head, until it closes. Raises Refused if
    another one still reads after `patience` seconds."""
    ends = monotonic() + patience
    while True:
        channel = connection.channel()
        try:
            channel.queue_declare(browsing(queue), exclusive=True)
        except ChannelClosedByBroker as closed:
            if closed.reply_code != _LOCKED:
                raise
        else:
            return channel
        if monotonic() > ends or Pause().wait(_ASKS_AGAIN):
            raise Refused(f"somebody else has been reading {queue} for {patience:g} s; try again later")


def heads(channel: BlockingChannel, queue: str, limit: int) -> Iterator[Delivery]:
    """Messages from the head of a queue; the broker takes back what is not acknowledged."""
    for _ in range(limit):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield delivery_of(queue, method, properties, body, epoch=0)
