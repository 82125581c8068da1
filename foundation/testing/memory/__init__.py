"""A broker in one process, without a server: for tests and for trying things out.

It routes, delays, dead-letters and redelivers like RabbitMQ's quorum queues, by the clock that it is
given. Due messages move whenever the broker is called or waited on; after advancing a clock by hand,
call `expire`. Nothing survives the process. A dead-lettered message that no queue takes is dropped
(RabbitMQ would hold it back).
"""

from foundation.testing.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
