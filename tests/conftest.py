"""What all tests stand on. Which RabbitMQ they get is told in `tests/brokers.py`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.brokers import GIVEN, NoBroker, Node, SharedNode, Vhost, node, vhost_url

_SHARED = pytest.StashKey[SharedNode]()

settings.register_profile("sitecrew", deadline=None, derandomize="CI" in os.environ, database=None)
settings.load_profile("sitecrew")


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Not in a fixture: waiting for the other workers must not count towards a test's time limit.
    if shared := session.config.stash.get(_SHARED, None):
        shared.release()


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a virtual host for this worker alone."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if GIVEN and count > 1:
        # Two workers that delete each other's queues do the broker lasting harm: on 3.10.8 the supervisor
        # of all dead-lettering gives up, and no such queue of the node works again until it is restarted.
        pytest.fail("TEST_AMQP_URL is one virtual host, where tests take turns: run pytest with -n 0")
    if GIVEN:
        return GIVEN
    mine = tmp_path_factory.getbasetemp()
    run = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    shared = SharedNode(run / "rabbitmq", [f"gw{number}" for number in range(count)])
    request.config.stash[_SHARED] = shared
    try:
        return vhost_url(shared.acquire(), worker)
    except NoBroker as reason:
        return _without(reason)


@pytest.fixture(scope="session")
def _vhost(amqp_url: str) -> Iterator[Vhost]:
    vhost = Vhost(amqp_url)
    yield vhost
    vhost.empty()


@pytest.fixture
def vhost(_vhost: Vhost) -> Iterator[Vhost]:
    """Where brokers can be made that find RabbitMQ empty; they are closed after the test."""
    yield _vhost
    _vhost.close()


@pytest.fixture(scope="module")
def breakable_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node for the tests of one module, who may do with it what they want."""
    try:
        with node(Path(tmp_path_factory.mktemp("node"))) as started:
            yield started
    except NoBroker as reason:
        _without(reason)


def _without(reason: NoBroker) -> str:
    if "CI" in os.environ and not GIVEN:
        pytest.fail(str(reason))
    pytest.skip(str(reason))
