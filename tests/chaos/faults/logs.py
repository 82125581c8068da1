"""Readers of a service's log that stand still or are gone."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.fault import REPLICA_NAMES, Fault, Options
from tests.chaos.replicas import LogReader
from tests.chaos.system import System


def _reader(system: System, target: str) -> LogReader:
    reader = system.replicas[target].reader
    assert reader
    return reader


@contextmanager
def _gone(system: System, target: str) -> Iterator[None]:
    _reader(system, target).leave()
    yield
    _reader(system, target).open()


@contextmanager
def _stuck(system: System, target: str) -> Iterator[None]:
    _reader(system, target).stand_still()
    yield
    _reader(system, target).open()


def _read(_options: Options) -> tuple[str, ...]:
    return tuple(name for name in REPLICA_NAMES if name.endswith("-0"))


FAULTS = (
    Fault("log reader gone", "logs", (2, 10), _read, _gone),
    Fault("log reader stuck", "logs", (2, 20), _read, _stuck),
)
