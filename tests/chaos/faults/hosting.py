"""The hosting server: its web server and the sites' databases, gone for a while, or silent."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sitecrew.stack.servers.mariadb import PrivateMariaDB
from tests.chaos.fault import Fault, Options, one
from tests.chaos.system import System

_ANY_WEB = one("web server")


def _database(system: System) -> PrivateMariaDB:
    assert system.database
    return system.database


@contextmanager
def _killed(system: System, _target: str) -> Iterator[None]:
    _database(system).kill()
    yield
    _database(system).start()


@contextmanager
def _restarted(system: System, _target: str) -> Iterator[None]:
    _database(system).stop()
    yield
    _database(system).start()


@contextmanager
def _stands_still(system: System, _target: str) -> Iterator[None]:
    with _stopped(_database(system).pid):
        yield


@contextmanager
def _web_killed(system: System, _target: str) -> Iterator[None]:
    system.web.kill()
    yield
    system.web.start()


@contextmanager
def _web_stands_still(system: System, _target: str) -> Iterator[None]:
    with _stopped(system.web.child.pid):
        yield


@contextmanager
def _stopped(group: int) -> Iterator[None]:
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def _has_databases(options: Options) -> str:
    return "" if options.site == "wordpress" else "needs --site wordpress"


FAULTS = (
    Fault("web server killed", "hosting", (0.5, 8), _ANY_WEB, _web_killed),
    Fault("web server stands still", "hosting", (2, 15), _ANY_WEB, _web_stands_still),
    Fault("sites' database killed", "hosting", (0.5, 8), one("MariaDB"), _killed, _has_databases),
    Fault("sites' database restarted", "hosting", (0.5, 8), one("MariaDB"), _restarted, _has_databases),
    Fault("sites' database stands still", "hosting", (2, 15), one("MariaDB"), _stands_still, _has_databases),
)
