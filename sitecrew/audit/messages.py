"""What must be true of the broker: all is declared, somebody takes what comes, and nothing is parked for long."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from time import sleep

from foundation.broker import Broker
from foundation.broker.topology import PARKING, UNROUTED
from foundation.clock import exact
from foundation.config.queues import API_EVENTS, API_PARKED, DUE, PARKED, WORK_QUEUES
from foundation.errors import Refused
from foundation.handling import parking
from sitecrew.audit.violations import Violation, violation

LONGEST_PARKED = timedelta(days=1)
_CONSUMED = (*sorted(WORK_QUEUES.difference(DUE.values())), PARKED, API_EVENTS, API_PARKED)
"""All but those that are consumed in batches: their installs are overdue if they are not taken."""
_LOOKED_AT = 1000
"""How many parked messages are read at most."""


def check(broker: Broker, risks: Sequence[str], notes: list[str], now: datetime, pause: float) -> Iterator[Violation]:
    """Yield what is wrong on the broker, and note what our user may not see. `risks` are what its policies and lost
    nodes do to our queues. Raises BrokerUnreachable, ConfigurationError."""
    try:
        for difference in broker.differences():
            yield violation("topology_differs", "broker", difference)
    except Refused as refused:
        notes.append(
            f"the broker's exchanges and queues were not compared, and some may not have been looked at: {refused}"
        )
    for risk in risks:
        yield violation("queue_at_risk", "broker", risk)
    yield from _unconsumed(broker, pause)
    for queue in (PARKING, UNROUTED):
        yield from _parked(broker, queue, now)


def _unconsumed(broker: Broker, pause: float) -> Iterator[Violation]:
    alone = _alone(broker, _CONSUMED)
    if alone and pause:
        sleep(pause)  # one may just have lost its connection
        alone = _alone(broker, alone)
    for queue, number in alone.items():
        yield violation("queue_unconsumed", queue, f"{number} messages wait, and it has no consumer")


def _alone(broker: Broker, queues: Iterable[str]) -> dict[str, int]:
    """Return how many messages wait in those of the queues that nobody consumes."""
    waiting = {queue: number for queue, number in broker.depths(queues).items() if number}
    return {queue: number for queue, number in waiting.items() if not broker.consumers(queue)}


def _parked(broker: Broker, queue: str, now: datetime) -> Iterator[Violation]:
    """What was not parked by a service does not always say since when it is there: then somebody has to look now."""
    for delivery in broker.browse(queue, _LOOKED_AT):
        one = parking.read(delivery, broker.user)
        if one.at is None or one.at < now - LONGEST_PARKED:
            since = f"since {exact(one.at)}" if one.at else "since nobody knows when"
            about = f" (order {one.told_order})" if one.told_order else ""
            yield violation("parked_too_long", one.told_name, f"in {queue} {since}{about}: {one.reason}")
