#!/usr/bin/env python3
"""Hear what becomes of orders, through pika (`pip install pika`): a line for each event, until Ctrl-C.

    watch_orders.py QUEUE

AMQP_URL in the environment is the broker: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded, so the virtual host `/`
is %2F. QUEUE is your own; it is made if it is not there. It keeps what happens while nobody listens, for a week.
"""

import json
import os
import sys
from contextlib import suppress

import pika

NEWS = ("order.rejected.*", "account.*.*", "install.completed.*", "install.failed.*", "install.cancelled.*", "mail.*.*")
WEEK = 7 * 24 * 3600 * 1000
"""In milliseconds. A queue that nobody reads for so long deletes itself, or it would grow for ever."""


def main() -> None:
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
            # Here your program notes it: by the order's id, which is the subject. The same event may come twice.
            print(event["subject"], event["type"], flush=True)
            channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
