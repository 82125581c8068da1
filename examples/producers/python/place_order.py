#!/usr/bin/env python3
"""Place an order with Sitecrew, through pika (`pip install pika`).

    place_order.py [--binary] ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]

AMQP_URL in the environment is the broker's URL: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded, so the virtual
host `/` is %2F. Exits with 0 once the broker has confirmed the order, with 1 if something must be fixed first, and with
75 if the outcome is unknown: then run it again. Sending the same order again changes nothing.
"""

import argparse
import json
import logging
import os
import signal
import sys
import time
from hashlib import sha256
from typing import Any

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

SOURCE = "/shop"
"""Your program's name as a URI reference. It identifies events together with their id, so never change it."""
PAUSES = (1, 5)
"""Seconds before the second and the third attempt."""
PATIENCE = 30
"""Seconds that one attempt may take."""

NO_QUEUE = "no queue takes orders there. Run `sitecrew topology declare`, then send it again."
CHECK = "Check user, password and virtual host in AMQP_URL, what the user may do, and whether Sitecrew is set up there."
AGAIN = "Send the same order again: if it was placed, that changes nothing."

REFUSED = (ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError)
UNKNOWN = (AMQPError, AMQPConnectorException, OSError)

Message = tuple[bytes, pika.BasicProperties]


def order_placed(order: argparse.Namespace) -> dict[str, Any]:
    """The event. Its id is derived from its content: the same order is the same event whenever it is sent."""
    data = {
        "order_id": order.order_id,
        "site_type": order.site_type,
        "domain": order.domain,
        "customer": {"name": order.name, "email": order.email},
    }
    if order.title:
        data["blog_name"] = order.title
    return {
        "specversion": "1.0",
        "id": f"{order.order_id}-placed-{sha256(json.dumps(data).encode()).hexdigest()[:16]}",
        "source": SOURCE,
        "type": "sitecrew.order.placed.v1",
        "subject": order.order_id,
        "data": data,
    }


def structured(event: dict[str, Any]) -> Message:
    """The whole event is the message's body."""
    return _message(event, event, "application/cloudevents+json")


def binary(event: dict[str, Any]) -> Message:
    """The body is its data; everything else is in headers."""
    headers = {f"ce-{name}": value for name, value in event.items() if name != "data"}
    return _message(event, event["data"], "application/json", headers)


def _message(event: dict[str, Any], content: Any, content_type: str, headers: dict[str, str] | None = None) -> Message:
    properties = pika.BasicProperties(
        content_type=content_type,
        headers=headers,
        delivery_mode=pika.DeliveryMode.Persistent.value,
        message_id=event["id"],
        correlation_id=event["subject"],
        type=event["type"],
    )
    return json.dumps(content).encode(), properties


def publish(parameters: pika.URLParameters, message: Message) -> None:
    """Returns once the broker has confirmed the message and a queue has it; otherwise raises."""
    body, properties = message
    # pika waits for a confirm for ever. The alarm repeats while a dead connection is being closed.
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 5)
    try:
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("orders", "order.placed.v1", body, properties, mandatory=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def place(parameters: pika.URLParameters, message: Message) -> tuple[int, str]:
    """The exit code and a message. Retries with the same message if the outcome is unknown."""
    reason = ""
    for pause in (0, *PAUSES):
        time.sleep(pause)
        try:
            publish(parameters, message)
        except UnroutableError:
            return 1, f"not placed: {NO_QUEUE}"
        except REFUSED as error:
            return 1, f"not placed: the broker refuses: {error}. {CHECK}"
        except NackError:
            reason = "the broker could not store it (nack)"
        except UNKNOWN as error:
            reason = str(error) or repr(error)
        else:
            return 0, "placed: the broker has it."
    return 75, f"perhaps not placed: {reason}. {AGAIN}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Place an order with Sitecrew.")
    parser.add_argument("--binary", action="store_true", help="send it in CloudEvents' binary mode")
    for name in ("order_id", "site_type", "domain", "name", "email"):
        parser.add_argument(name)
    parser.add_argument("title", nargs="?")
    return parser.parse_args()


def broker() -> pika.URLParameters:
    """From AMQP_URL, which is never printed: it contains the password."""
    url = os.environ.get("AMQP_URL", "")
    try:
        if url.startswith(("amqp://", "amqps://")):
            return pika.URLParameters(url)
    except ValueError:
        pass
    sys.exit("AMQP_URL must be the broker's address: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded.")


def too_long(*_: object) -> None:
    raise TimeoutError(f"no answer within {PATIENCE} seconds")


def main() -> None:
    order = arguments()
    event = order_placed(order)
    parameters = broker()
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what goes wrong is told below
    signal.signal(signal.SIGALRM, too_long)
    code, outcome = place(parameters, binary(event) if order.binary else structured(event))
    print(f"Order {order.order_id} is {outcome}", file=sys.stderr if code else sys.stdout)
    sys.exit(code)


if __name__ == "__main__":
    main()
