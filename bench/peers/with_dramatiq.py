"""Dramatiq: confirms on, acknowledged after the task (as always). It only supports classic queues."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from bench.peers import job

dramatiq.set_broker(RabbitmqBroker(url=job.URL, confirm_delivery=True))


@dramatiq.actor(queue_name="dramatiq.done")
def done(order: job.Order) -> None:
    """Received by the driver."""


@dramatiq.actor(queue_name="dramatiq.3")
def welcome(order: job.Order) -> None:
    job.welcome(order)
    done.send(order)


@dramatiq.actor(queue_name="dramatiq.2")
def install(order: job.Order) -> None:
    job.install(order)
    welcome.send(order)


@dramatiq.actor(queue_name="dramatiq.1")
def accept(order: job.Order) -> None:
    job.accept(order)
    install.send(order)
