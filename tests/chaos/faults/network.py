"""Lines to the broker and the mail server that are cut, refuse, or swallow what is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.fault import REPLICA_NAMES, Fault, Options
from tests.chaos.proxy import Proxy
from tests.chaos.system import System

EVERYBODY = "everybody to broker"


def _lines(system: System, target: str) -> list[Proxy]:
    if target == EVERYBODY:
        return list(system.broker_lines.values())
    name = target.partition(" ")[0]
    return [system.mail_line if target.endswith("SMTP") else system.broker_lines[name]]


def _targets(_options: Options) -> tuple[str, ...]:
    return (EVERYBODY, *(f"{name} to broker" for name in REPLICA_NAMES), *["mailer to SMTP"] * 3)


@contextmanager
def _cut(system: System, target: str) -> Iterator[None]:
    for line in _lines(system, target):
        line.cut()
    yield


@contextmanager
def _refused(system: System, target: str) -> Iterator[None]:
    for line in _lines(system, target):
        line.refuse(refuses=True)
    yield
    for line in _lines(system, target):
        line.refuse(refuses=False)


@contextmanager
def _swallowed(system: System, target: str) -> Iterator[None]:
    for line in _lines(system, target):
        line.hold()
    yield
    for line in _lines(system, target):
        line.release()


FAULTS = (
    Fault("line cut", "network", (0.1, 0.2), _targets, _cut, doubles=True),
    Fault("line refuses", "network", (1, 8), _targets, _refused, doubles=True),
    Fault("packets swallowed", "network", (2, 20), _targets, _swallowed, doubles=True),
)
