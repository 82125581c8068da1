"""Converts pika's deliveries to ours."""

from typing import Any

import pika

from foundation.broker import Delivery


def delivery_of(queue: str, method: Any, properties: pika.BasicProperties, body: bytes, epoch: int) -> Delivery:
    headers = {_text(name): value for name, value in (properties.headers or {}).items()}
    # The broker's own count comes with the second delivery; before, such a header is the sender's.
    count = headers.get("x-delivery-count", 1) if method.redelivered else 0
    return Delivery(
        queue=queue,
        body=body,
        content_type=_text(properties.content_type),
        message_id=_text(properties.message_id),
        type=_text(properties.type),
        headers=headers,
        redeliveries=count if isinstance(count, int) else 1,
        tag=method.delivery_tag,
        epoch=epoch,
        exchange=_text(method.exchange),
        routing_key=_text(method.routing_key),
        user_id=_text(properties.user_id),
    )


def _text(name: str | bytes | None) -> str:
    """A name from the sender; pika leaves what is not UTF-8 as bytes. The result must not be longer, or the
    message could not be parked."""
    return name.decode("ascii", "replace").replace("\ufffd", "?") if isinstance(name, bytes) else name or ""
