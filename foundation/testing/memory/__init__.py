"""A broker in one process, without a server: for tests and for trying things out.

It routes, delays, dead-letters and redelivers as RabbitMQ's quorum queues do, by the clock that it
is given. What falls due moves whenever the broker is called or waited on; whoever turns a clock by
hand calls `expire` afterwards. Nothing survives the process. A dead-lettered message that no queue
takes is gone (RabbitMQ would hold it back).
"""

from foundation.testing.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
