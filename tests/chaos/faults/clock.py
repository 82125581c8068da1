"""Clocks that are wrong. Replicas on one SQLite file share a machine and its clock; on PostgreSQL each has its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.fault import REPLICA_NAMES, REPLICAS, Fault, Options
from tests.chaos.system import System


@contextmanager
def _moved(system: System, target: str) -> Iterator[None]:
    who, _, seconds = target.partition(" by ")
    theirs = [replica for name, replica in system.replicas.items() if name.startswith(who)]
    for replica in theirs:
        replica.set_clock(float(seconds.removesuffix(" s")))
    yield
    for replica in theirs:
        replica.set_clock(0)


def _targets(options: Options) -> tuple[str, ...]:
    # What a moved clock has written on SQLite is waited for afterwards, as long as the clock was ahead.
    who, most = (tuple(REPLICAS), 20) if options.store == "sqlite" else (REPLICA_NAMES, 3600)
    return tuple(f"{name} by {seconds} s" for name in who for seconds in (-most, -5, 5, most))


FAULTS = (Fault("clock moved", "clock", (3, 20), _targets, _moved, doubles=True),)
