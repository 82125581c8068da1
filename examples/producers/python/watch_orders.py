#!/usr/bin/env python3
"""Follow orders, through pika (`pip install pika`): prints a line for each event, until Ctrl-C.

    watch_orders.py QUEUE

AMQP_URL in the environment is the broker's URL: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded, so the virtual
host `/` is %2F. QUEUE is your own queue, created if it does not exist. It keeps events for a week while nobody listens.
"""

import json
import os
import sys
from contextlib import suppress

import pika

NEWS = ("order.rejected.*", "account.*.*", "install.completed.*", "install.failed.*", "install.cancelled.*", "mail.*.*")
WEEK = 7 * 24 * 3600 * 1000
"""In milliseconds. A queue that nobody reads for this long deletes itself; otherwise it would grow for ever."""


def main() -> None:
    if len(sys.argv) != 2 or "AMQP_URL" not in os.environ:
        sys.exit(f"usage: AMQP_URL=amqps://USER:PASSWORD@HOST/VHOST {sys.argv[0]} QUEUE")
    queue = sys.argv[1]
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", "x-expires": WEEK})
        for key in NEWS:
            channel.queue_bind(queue, "events", key)
        channel.basic_qos(prefetch_count=100)
        print(f"listening on {queue}", flush=True)
        for method, _, body in channel.consume(queue):
            event = json.loads(body)
            # Here your program records it, by the order's id (the subject). The same event may arrive twice.
            print(event["subject"], event["type"], flush=True)
            channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
