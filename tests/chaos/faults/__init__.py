"""The catalogue: all that a run may do to Sitecrew and what it stands on. One module for each lane."""

from tests.chaos.fault import Fault
from tests.chaos.faults import broker, clock, disk, hosting, logs, mail, messages, network, services, store

CATALOGUE: tuple[Fault, ...] = (
    *services.FAULTS,
    *broker.FAULTS,
    *network.FAULTS,
    *mail.FAULTS,
    *store.FAULTS,
    *hosting.FAULTS,
    *disk.FAULTS,
    *logs.FAULTS,
    *clock.FAULTS,
    *messages.FAULTS,
)
BY_KIND = {fault.kind: fault for fault in CATALOGUE}
