"""A broker that dies, loses everything, raises alarms, or on which somebody deletes queues."""

from collections.abc import Iterator
from contextlib import contextmanager

import pika

from foundation.broker.delay import Ladder
from foundation.config.queues import with_api
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from tests.chaos.fault import Fault, Options, one
from tests.chaos.faults.servers import killed, restarted, stands_still
from tests.chaos.system import System

_QUEUES = tuple(sorted(queue.name for queue in with_api(Ladder()).queues))
_PATIENCE = 300.0
"""Seconds that ending an alarm may take on a busy machine: nothing goes on with one."""
_USUAL = {"set_vm_memory_high_watermark": "0.3", "set_disk_free_limit": "50MB"}


def _rabbit(system: System) -> PrivateRabbit:
    return system.rabbit


@contextmanager
def _wiped(system: System, _target: str) -> Iterator[None]:
    system.wipe_broker()
    yield


@contextmanager
def _alarmed(system: System, target: str) -> Iterator[None]:
    command, limit = target.split()
    system.rabbit.ctl(command, limit)
    try:
        yield
    finally:
        system.rabbit.ctl(command, _USUAL[command], seconds=_PATIENCE)


@contextmanager
def _queue_deleted(system: System, target: str) -> Iterator[None]:
    with pika.BlockingConnection(pika.URLParameters(system.url)) as connection:
        connection.channel().queue_delete(target)
    yield


@contextmanager
def _connections_closed(system: System, _target: str) -> Iterator[None]:
    system.rabbit.ctl("close_all_connections", "chaos")
    yield


def _queues(_options: Options) -> tuple[str, ...]:
    return _QUEUES


FAULTS = (
    Fault("broker killed", "broker", (0.5, 6), one("RabbitMQ"), killed(_rabbit)),
    Fault("broker restarted", "broker", (0.5, 3), one("RabbitMQ"), restarted(_rabbit)),
    Fault("broker wiped", "broker", (0.1, 0.2), one("RabbitMQ"), _wiped),
    Fault("broker stands still", "broker", (2, 15), one("RabbitMQ"), stands_still(lambda system: system.rabbit.pid)),
    Fault("memory alarm", "broker", (2, 15), one("set_vm_memory_high_watermark 0.000001"), _alarmed),
    Fault("disk alarm", "broker", (2, 15), one("set_disk_free_limit 1000GB"), _alarmed),
    Fault("queue deleted", "broker", (0.1, 0.2), _queues, _queue_deleted),
    Fault("connections closed", "broker", (0.1, 0.2), one("RabbitMQ"), _connections_closed),
)
