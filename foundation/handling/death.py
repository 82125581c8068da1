"""What the broker itself took out of a queue, and why: read from the headers that it adds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from foundation.broker import Delivery
from foundation.config.queues import WORK_QUEUES


@dataclass(frozen=True)
class Death:
    """How a message last died in a queue that services work from, or else wherever it did."""

    queue: str
    reason: str
    """`delivery_limit`: handed out too often and never settled. `rejected`: by a service. `expired`, `maxlen`."""
    exchange: str = ""
    """By which it had come there."""
    at: datetime | None = None


def death_of(delivery: Delivery) -> Death | None:
    """None if the broker took it out of no queue. What a service parks never has any."""
    headers = delivery.headers
    deaths = headers.get("x-death")
    found = [_from(death) for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []
    # Its first death will not do: what came through the delay ladder died there first, of old age.
    at_work = [death for death in found if death.queue in WORK_QUEUES]
    if at_work or found:
        return (at_work or found)[0]  # the broker puts the newest first
    for which in ("last", "first"):
        if f"x-{which}-death-queue" in headers:
            names = ("queue", "reason", "exchange")
            return _from({name: headers.get(f"x-{which}-death-{name}", "") for name in names})
    return None


def _from(death: Mapping[str, Any]) -> Death:
    at = death.get("time")
    return Death(
        queue=str(death.get("queue", "")),
        reason=str(death.get("reason", "")),
        exchange=str(death.get("exchange", "")),
        at=at.replace(tzinfo=UTC) if isinstance(at, datetime) else None,
    )
