"""What all tests stand on. Which RabbitMQ they get is told in `tests/support/brokers.py`."""

import gc
import logging
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from hypothesis import settings
from structlog.testing import capture_logs

from tests.support.brokers import GIVEN, IMAGE, MANAGEMENT, Brokers, NoBroker, Node, SharedNode, emptied, node
from tests.support.postgres import Postgres, Stores, installed, running
from tests.support.shared import share

_SHARED = pytest.StashKey[SharedNode]()
_PASSED = pytest.StashKey[bool]()

settings.register_profile("sitecrew", deadline=None, derandomize="CI" in os.environ, database=None)
settings.load_profile("sitecrew")
share()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # What is collected and imported for it stays: the garbage collector need not look through it again and again.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Not in a fixture: waiting for the other workers must not count towards a test's time limit.
    if shared := session.config.stash.get(_SHARED, None):
        shared.release()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_PASSED] = report.passed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    # Not in a fixture: the files of a house are gone before the last fixture ends.
    try:
        if "tests.support.house" in sys.modules:
            _require_sound_houses(item)
    finally:
        yield


def _require_sound_houses(item: pytest.Item) -> None:
    from tests.support import audited, house  # noqa: PLC0415  # most tests have no house

    houses = house.houses()
    if item.stash.get(_PASSED, False):
        audited.require_sound(houses)


@pytest.fixture(autouse=True)
def _houses_are_left_closed() -> Iterator[None]:
    yield
    if "tests.support.house" in sys.modules:
        sys.modules["tests.support.house"].close_houses()


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    """A service that ran in this process has set up its own, on an output that is closed with the test."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep log lines off the terminal."""
    with capture_logs():
        yield


@pytest.fixture(scope="session")
def vhosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Addresses of virtual hosts, for this worker alone, each with nothing in it."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if GIVEN and count > 1:
        pytest.fail("TEST_AMQP_URL is one virtual host, where tests take turns: run pytest with -n 0")
    if GIVEN:
        return emptied(GIVEN)
    mine = tmp_path_factory.getbasetemp()
    run = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    shared = SharedNode(run / "rabbitmq")
    request.config.stash[_SHARED] = shared
    try:
        return shared.acquire()
    except NoBroker as reason:
        return _without(reason)


@pytest.fixture
def brokers(vhosts: Iterator[str]) -> Iterator[Brokers]:
    """Where brokers can be made that find RabbitMQ empty; they are closed after the test."""
    with closing(Brokers(vhosts)) as brokers:
        yield brokers


@pytest.fixture(scope="module")
def breakable_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node for the tests of one module, who may do with it what they want."""
    yield from _own_node(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def managed_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Another such node, with RabbitMQ's HTTP API."""
    yield from _own_node(tmp_path_factory.mktemp("node"), MANAGEMENT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, on which tests make databases of their own."""
    programs = installed()
    if programs is None:
        _without("no PostgreSQL server in /usr/lib/postgresql; `script/bootstrap postgresql` installs one")
    with running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def stores(request: pytest.FixtureRequest) -> Stores:
    """Databases of the kind that `TEST_STORE` names: sqlite, or postgresql."""
    if os.environ.get("TEST_STORE", "sqlite") == "sqlite":
        return Stores(None)
    return Stores(request.getfixturevalue("postgres"))


def _own_node(directory: Path, *plugins: str) -> Iterator[Node]:
    try:
        with node(directory, *plugins) as started:
            yield started
    except NoBroker as reason:
        _without(reason)


def _without(reason: object) -> NoReturn:
    if IMAGE or "CI" in os.environ:
        pytest.fail(str(reason))
    pytest.skip(str(reason))
