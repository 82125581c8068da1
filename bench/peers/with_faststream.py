"""FastStream: quorum queues, confirms, acknowledged after the handler (the default).

python -m bench.peers.with_faststream 1 2 3      the stages that this process runs
"""

import asyncio
import sys

from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from bench.peers import job

broker = RabbitBroker(job.URL, default_channel=Channel(prefetch_count=200), logger=None)
STAGES = {"1": job.accept, "2": job.install, "3": job.welcome}
AFTER = {"1": "faststream.2", "2": "faststream.3", "3": "faststream.done"}


def _subscribe(stage: str) -> None:
    work, following = STAGES[stage], AFTER[stage]

    @broker.subscriber(RabbitQueue(f"faststream.{stage}", queue_type=QueueType.QUORUM, durable=True))
    async def handle(order: job.Order) -> None:
        work(order)
        await broker.publish(order, following, persist=True)


for name in sys.argv[1:]:
    _subscribe(name)

if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run())
