"""Staged installs on the delay ladder: publish rate, broker memory, and how late they come out."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pika

from bench import stages
from bench.lab import WATCHED, lab, percentile
from bench.machine import progress, rss_mib
from bench.raw import PERSISTENT, QUORUM, Message, prepared

TARGETS: dict[str, str] = {}
_BODY = b"x" * 900
"""A body as long as that of a staged install."""
_FASTEST = 4000.0
"""Messages per second that even the slowest machine publishes."""


def delay(messages: int, per_second: float) -> dict[str, Any]:
    """Send messages through the ladder, `per_second` of them due each second, all published before the first is due.
    Raises SitecrewError."""
    with lab() as place:
        prepared(place.url, lambda channel: channel.queue_declare(WATCHED, durable=True, arguments=QUORUM))
        # The driver consumes the queue at the end of the ladder, which has the name of one of ours.
        driver = place.driver(queue="installer.due")
        empty = rss_mib(place.rabbit.pid)
        first = datetime.now(UTC) + timedelta(seconds=20 + messages / _FASTEST)
        late: list[float] = []
        peak = empty

        def published() -> Iterable[Message]:
            for number in range(messages):
                due_at = first + timedelta(seconds=number / per_second)
                exchange, key = stages.delayed(due_at)
                properties = pika.BasicProperties(delivery_mode=PERSISTENT, message_id=str(due_at.timestamp()))
                yield Message(exchange, key, _BODY, properties)

        def seen(properties: pika.BasicProperties, _body: bytes) -> None:
            late.append(time.time() - float(properties.message_id))

        progress(f"publishing {messages} messages ...")
        taken = driver.run(published(), seen=seen, until=lambda: driver.exhausted, seconds=3600)
        full = rss_mib(place.rabbit.pid)
        early = len(late)
        progress(f"published in {taken:.0f} s; they come out for {messages / per_second:.0f} s ...")
        lasting = (first - datetime.now(UTC)).total_seconds() + messages / per_second + 600

        def all_out() -> bool:
            nonlocal peak
            if len(late) % 5000 == 0:
                peak = max(peak, rss_mib(place.rabbit.pid))
            return len(late) >= messages

        driver.run((), seen=seen, until=all_out, seconds=lasting)
        driver.close()
    return {
        "messages": messages,
        "due_per_second": per_second,
        "published_per_second": round(messages / taken),
        "broker_mib": {"empty": round(empty), "full": round(full), "peak": round(max(peak, full))},
        "out_before_all_were_in": early,
        "late_p50_seconds": round(percentile(late, 0.5), 2),
        "late_p99_seconds": round(percentile(late, 0.99), 2),
        "late_longest_seconds": round(max(late), 2),
        "too_early": sum(1 for seconds in late if seconds < -0.01),
    }
