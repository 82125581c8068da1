"""RabbitMQ, through pika. The only package that imports pika.

Each publisher and each consumer has a connection of its own, run by one I/O thread; every pika call
happens on that thread. Other threads hand work in through `call` and never touch a channel.
"""

from foundation.broker.rabbit.broker import RabbitBroker
from foundation.broker.rabbit.consumer import RabbitConsumer
from foundation.broker.rabbit.publisher import RabbitPublisher

__all__ = ["RabbitBroker", "RabbitConsumer", "RabbitPublisher"]
