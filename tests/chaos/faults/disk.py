"""Disks that are full."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.disk import may_mount
from tests.chaos.fault import Fault, Options
from tests.chaos.system import System


@contextmanager
def _full(system: System, target: str) -> Iterator[None]:
    disk = system.disks[target]
    disk.fill()
    try:
        yield
    finally:
        disk.empty()


def _disks(options: Options) -> tuple[str, ...]:
    return ("stores", "sites", "logs") if options.store == "sqlite" else ("sites", "logs")


def _mounts(_options: Options) -> str:
    return "" if may_mount() else "needs root, to mount a file system of its own"


FAULTS = (Fault("disk full", "disk", (2, 12), _disks, _full, _mounts, doubles=True),)
