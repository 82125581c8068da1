"""The api in a house: fed by hand, with all services behind it that answer what it asks."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from foundation.broker import Consumer
from foundation.broker.delay import Ladder
from foundation.config.queues import API_EVENTS, API_PARKED, with_api
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database
from foundation.service.lanes import Parts
from foundation.store import Store
from foundation.testing.memory import MemoryBroker
from services.api.access import tokens
from services.api.access.identity import Scope
from services.api.service import MIGRATIONS, ApiService, load
from tests.support.house import House

ORDER: dict[str, Any] = {
    "order_id": "order-1",
    "site_type": "wordpress",
    "domain": "shop1.example",
    "customer": {"name": "Jo Miller", "email": "jo1@customer.example"},
}


class HouseWithApi(House):
    """A house whose broker has the api's queues, and with an api, whose database may be another than SQLite."""

    def __init__(self, directory: Path, store: Store | None = None, **settings: Any) -> None:
        settings.setdefault("api", {"address": "127.0.0.1:0"})
        super().__init__(directory, **settings)
        self._open_api(store or self.store("api", MIGRATIONS))

    def _open_api(self, store: Store) -> None:
        self.api_relay = Relay(store, self.broker.publisher(), self.broker.topology, self.clock.now)
        database = Database(store, "api", self.clock.now, self.api_relay.hand_over, load)
        self.api = ApiService(self.settings, Parts(store, self.broker, database, self.clock.now))
        self._heard = self.broker.consumer(API_EVENTS, 500)
        self._copied = self.broker.consumer(API_PARKED, 500)

    def _new_broker(self) -> tuple[MemoryBroker, Consumer]:
        broker = MemoryBroker(with_api(Ladder()), self.clock.now)
        broker.declare()
        return broker, broker.watch("events", "#")

    def wipe(self) -> None:
        super().wipe()
        self._open_api(self.api.desk.store)

    def settle(self) -> None:
        """Run until nothing is left to do at the current time, here and in the services."""
        while True:
            super().settle()
            if not self.api_relay.run_once(timeout=0) and not self.hear():
                return

    def hear(self) -> int:
        """Project what was published or parked; return how much it was."""
        never = threading.Event()
        heard = self.api.projector.run_once(self._heard, never, timeout=0)
        return heard + self.api.copies.run_once(self._copied, never, timeout=0)

    def token(self, source: str, *scopes: Scope, name: str = "") -> str:
        with self.api.desk.writing() as uow:
            return tokens.create(uow.connection, name or source.strip("/"), source, scopes, "admin", uow.now)

    def caller(self, source: str, *scopes: Scope) -> TestClient:
        """Return a client with a token of its own."""
        return client(self, self.token(source, *scopes))

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve HTTP on a port of this machine; yield the address."""
        stop = threading.Event()
        port = self.api.server.listen()
        thread = threading.Thread(target=self.api.server.run, args=(stop,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop.set()
            thread.join()


def client(house: HouseWithApi, token: str = "") -> TestClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(house.api.server._app, headers=headers)


def items(answer: Any, name: str = "order_id") -> list[Any]:
    assert answer.status_code == 200, answer.text
    found: Iterable[dict[str, Any]] = answer.json()["items"]
    return [item[name] for item in found]


def routes(app: Any) -> Iterator[str]:
    """Yield everything that an application answers, as `POST /v1/orders`."""
    for route in app.routes:
        if isinstance(inner := getattr(route, "app", None), Starlette):
            yield from routes(inner)
        elif isinstance(route, Mount):
            yield f"GET {route.path}/{{path}}"
        else:
            several = route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else (route,)
            yield from (f"{method} {one.path}" for one in several for method in one.methods if method != "HEAD")
