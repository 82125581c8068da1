"""Services that are killed, stopped like by an operator, or stand still."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.fault import Fault, any_replica
from tests.chaos.system import System


@contextmanager
def _killed(system: System, target: str) -> Iterator[None]:
    replica = system.replicas[target]
    replica.kill()
    yield
    replica.start()


@contextmanager
def _killed_twice(system: System, target: str) -> Iterator[None]:
    with _killed(system, target):
        pass
    with _killed(system, target):
        yield


@contextmanager
def _terminated(system: System, target: str) -> Iterator[None]:
    replica = system.replicas[target]
    replica.terminate()
    yield
    replica.start()


@contextmanager
def _paused(system: System, target: str) -> Iterator[None]:
    replica = system.replicas[target]
    replica.pause()
    try:
        yield
    finally:
        replica.resume()


FAULTS = (
    Fault("service killed", "services", (0.1, 5), any_replica, _killed, doubles=True),
    Fault("service killed twice", "services", (0.1, 3), any_replica, _killed_twice, doubles=True),
    Fault("service terminated", "services", (0.1, 3), any_replica, _terminated),
    Fault("service stands still", "services", (3, 15), any_replica, _paused, doubles=True),
)
