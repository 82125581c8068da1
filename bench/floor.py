"""The floor: three bare stages that consume, publish to the next queue with confirms, and acknowledge.
No database, no schema, no effect. Nothing that keeps its promises can be faster.

    python -m bench.floor URL FROM TO
"""

import signal
import sys
from threading import Event

from foundation.broker import Message
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import Queue, Topology

QUEUES = ("floor.1", "floor.2", "floor.3", "floor.4")


def topology() -> Topology:
    queues = tuple(Queue(name, {"x-queue-type": "quorum"}) for name in QUEUES)
    return Topology((), queues, (), Ladder())


def main(url: str, source: str, target: str) -> int:
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    broker = RabbitBroker([url], topology(), "floor")
    publisher, consumer = broker.publisher(), broker.consumer(source, 400)
    while not stop.is_set():
        taken = consumer.take(200, timeout=0.5)
        publisher.publish([Message("", target, delivery.body) for delivery in taken])
        consumer.settle(taken)
    broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
