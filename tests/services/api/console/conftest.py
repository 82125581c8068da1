"""The console of a house: its pages as a browser gets them, with all services behind it."""

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from foundation.broker import Consumer
from foundation.broker.delay import Ladder
from foundation.config.queues import API_EVENTS, API_PARKED, with_api
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database
from foundation.service.lanes import Parts
from foundation.testing.memory import MemoryBroker
from services.api.access import passwords, staff
from services.api.access.identity import Role
from services.api.console import asks
from services.api.finding import figures
from services.api.service import MIGRATIONS, ApiService, load
from tests.support.house import House

PASSWORD = "correct horse battery"


@dataclass
class Browser:
    """A client with its own cookies, that follows no redirect unless told to."""

    client: TestClient

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, **more)

    def post(self, path: str, **fields: Any) -> Any:
        """Send a form of this session."""
        return self.client.post(path, data={"form_token": self.form_token(), **fields})

    def follow(self, response: Any) -> str:
        """Return the page that a response leads to."""
        assert response.status_code == 303, (response.status_code, response.text)
        page = self.client.get(response.headers["location"])
        assert page.status_code == 200, page.text
        return str(page.text)

    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.client.get("/account").text)
        assert found, "not signed in"
        return found[1]

    def sign_in(self, name: str, password: str = PASSWORD, **more: Any) -> Any:
        return self.client.post("/sign-in", data={"name": name, "password": password, **more})


class HouseWithApi(House):
    """A house whose broker has the api's queues."""

    def _new_broker(self) -> tuple[MemoryBroker, Consumer]:
        broker = MemoryBroker(with_api(Ladder()), self.clock.now)
        broker.declare()
        return broker, broker.watch("events", "#")


class Console:
    """The api, fed by hand, in a house whose services answer what it asks."""

    def __init__(self, house: House) -> None:
        self.house = house
        store = house.store("api", MIGRATIONS)
        self.relay = Relay(store, house.broker.publisher(), house.broker.topology, house.clock.now)
        database = Database(store, "api", house.clock.now, self.relay.hand_over, load)
        self.service = ApiService(house.settings, Parts(store, house.broker, database, house.clock.now))
        self.desk = self.service.desk
        self.consumer = house.broker.consumer(API_EVENTS, 500)
        self.copies = house.broker.consumer(API_PARKED, 500)

    def settle(self) -> None:
        """Let the services do what was asked of them, and the projection hear of it."""
        for _ in range(3):
            while self.relay.run_once(timeout=0):
                pass
            self.house.settle()
            self.hear()

    def hear(self) -> None:
        for projector, consumer in ((self.service.copies, self.copies), (self.service.projector, self.consumer)):
            while projector.run_once(consumer, threading.Event(), timeout=0):
                pass

    def browser(self, name: str = "", role: Role = Role.ADMIN, base: str = "http://testserver") -> Browser:
        """Return a browser; with a name, somebody with that role is signed in there."""
        client = TestClient(self.service.server._app, base_url=base, follow_redirects=False)
        browser = Browser(client)
        if name:
            with self.desk.writing() as uow:
                staff.create(uow.connection, name, role, PASSWORD, self.desk.now())
            assert browser.sign_in(name).status_code == 303
        return browser


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HouseWithApi:
    monkeypatch.setattr(asks, "_PATIENCE", 0)  # nothing answers before the test lets it
    monkeypatch.setattr(figures, "_KEPT", 0)
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    return HouseWithApi(tmp_path, api={"secret_key": "a long random text of a test"})


@pytest.fixture
def console(house: HouseWithApi) -> Console:
    return Console(house)
