"""Read from a message's headers from which queue the broker dead-lettered it, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from foundation.broker import Delivery
from foundation.config.queues import WORK_QUEUES


@dataclass(frozen=True)
class Death:
    """How a message was last dead-lettered from a work queue, or else from any queue."""

    queue: str
    reason: str
    """`delivery_limit`: delivered too often and never settled. `rejected`: by a service. `expired`, `maxlen`."""
    exchange: str = ""
    """The exchange through which it had reached the queue."""
    at: datetime | None = None


def death_of(delivery: Delivery) -> Death | None:
    """Return how a message was dead-lettered; None if it wasn't, which is so for all that services park."""
    headers = delivery.headers
    deaths = headers.get("x-death")
    found = [_from(death) for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []
    # Not its first death: a message that came through the delay ladder first expired there.
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
