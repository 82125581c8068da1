"""Databases that are locked, killed, cut off, or silent."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.chaos.fault import REPLICAS, Fault, Options, needs_store, one
from tests.chaos.system import System


@contextmanager
def _locked(system: System, target: str) -> Iterator[None]:
    file = system.urls[target].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _killed(system: System, _target: str) -> Iterator[None]:
    assert system.postgres
    system.postgres.kill()
    yield
    system.postgres.start()


@contextmanager
def _cut(system: System, _target: str) -> Iterator[None]:
    system.store_line.refuse(refuses=True)
    yield
    system.store_line.refuse(refuses=False)


@contextmanager
def _silent(system: System, _target: str) -> Iterator[None]:
    system.store_line.hold()
    yield
    system.store_line.release()


def _services(_options: Options) -> tuple[str, ...]:
    return tuple(REPLICAS)


FAULTS = (
    Fault("database locked", "store", (2, 20), _services, _locked, needs_store("sqlite"), doubles=True),
    Fault("database killed", "store", (0.5, 6), one("PostgreSQL"), _killed, needs_store("postgresql"), doubles=True),
    Fault("database unreachable", "store", (0.5, 8), one("PostgreSQL"), _cut, needs_store("postgresql"), doubles=True),
    Fault("database silent", "store", (2, 15), one("PostgreSQL"), _silent, needs_store("postgresql"), doubles=True),
)
