"""`service.heartbeat`: every replica tells every ten seconds that it is alive, and what it works on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foundation.clock import utc_now
from foundation.service.broadcast import Tell
from foundation.service.lanes import Lane, Periodic
from foundation.store.lease import this_process
from foundation.version import version
from schemas.services import ServiceHeartbeat

_EVERY = 10.0
_MOST = 100


def heartbeat(service: str, lanes: Sequence[Lane], vitals: Callable[[], Mapping[str, Any]], tell: Tell) -> Periodic:
    """Return the task that sends it. `vitals` returns further fields."""
    started_at = utc_now()
    leases = [lane.leases for lane in lanes if lane.leases]

    def beat() -> None:
        working_on = sorted({row for each in leases for row in each.held()})
        known = {
            "service": service,
            "instance": this_process(),
            "version": version(),
            "started_at": started_at,
            "queues": tuple(lane.queue for lane in lanes),
            "working_on": tuple(working_on[:_MOST]),
        }
        tell(ServiceHeartbeat(**{**known, **vitals()}))

    return Periodic("heartbeat", _EVERY, beat)
