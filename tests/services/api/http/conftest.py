"""The HTTP API of a house, called by a producer and by an operator; its database is SQLite, or PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from foundation.store import Store
from services.api.access.identity import Scope
from services.api.service import MIGRATIONS
from tests.support.api import HouseWithApi


@pytest.fixture(params=["sqlite"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseWithApi]:
    store = None
    if request.param == "postgresql":
        store = Store(request.getfixturevalue("postgres").database())
        store.migrate([MIGRATIONS])
    yield HouseWithApi(tmp_path, store)
    if store:
        store.close()


@pytest.fixture
def shop(house: HouseWithApi) -> TestClient:
    """A producer."""
    return house.caller("/shop", Scope.ORDERS_WRITE, Scope.ORDERS_READ)


@pytest.fixture
def panel(house: HouseWithApi) -> TestClient:
    """Another producer."""
    return house.caller("/panel", Scope.ORDERS_WRITE)


@pytest.fixture
def operator(house: HouseWithApi) -> TestClient:
    return house.caller("/desk", Scope.INSTALLS_WRITE)


@pytest.fixture
def admin(house: HouseWithApi) -> TestClient:
    return house.caller("/admin", Scope.ADMIN)
