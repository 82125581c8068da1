"""Every route of the API, tried by those who may not: without a token, without the scope, as another producer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from services.api.access.identity import Scope
from services.api.http.app import api
from tests.support.api import ORDER, HouseWithApi, client
from tests.support.receiver import receiver

DOCUMENT = api().openapi()
PRODUCERS_OWN = {"GET /v1/me", "POST /v1/orders"}
"""What any producer may ask, of itself."""
ENDLESS = {"GET /v1/events"}
"""What never ends where it is allowed; another test follows it."""


class Route(NamedTuple):
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


ROUTES = [Route(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]
BODIES: Mapping[str, Any] = {
    "POST /v1/orders": {**ORDER, "order_id": "order-2", "domain": "shop2.example"},
    "POST /v1/installs/{install_id}/resolve": {"note": "by hand"},
    "POST /v1/webhooks": {"url": "https://shop.example/hook"},
}
"""What each route that needs a body is sent."""


def ask(caller: TestClient, route: Route, ids: Mapping[str, str]) -> Any:
    path = route.path
    for name, id in ids.items():
        path = path.replace(f"{{{name}}}", id)
    if "{id}" in path:
        kind = "delivery" if "deliveries/{id}" in path else "webhook" if "/webhooks/" in path else "command"
        path = path.replace("{id}", ids[kind])
    assert "{" not in path, f"say what to ask {route.path} for"
    return caller.request(route.method, path, json=BODIES.get(route.name, {}) if route.method == "POST" else None)


@pytest.fixture
def ids(house: HouseWithApi, shop: TestClient, admin: TestClient) -> Mapping[str, str]:
    """What a shop has: an order with its site and its letter, a command, and a webhook with a delivery."""
    assert shop.post("/v1/orders", json=ORDER, headers={"Idempotency-Key": "shops-key"}).status_code == 202
    with receiver() as there:
        webhook = admin.post("/v1/webhooks", json={"url": there.url(), "source": "/shop"}).json()["id"]
        delivery = admin.post(f"/v1/webhooks/{webhook}/test").json()["id"]
    house.advance_until(house.mailed)
    house.events()
    named = {"order_id": "order-1", "install_id": "order-1-g1", "name": "wordpress"}
    return {**named, "command": "shops-key", "webhook": webhook, "delivery": delivery}


@pytest.fixture
def house(tmp_path: Any) -> HouseWithApi:
    own = {"address": "127.0.0.1:0", "secret_key": "a long random text", "webhooks_to_private": True}
    return HouseWithApi(tmp_path, api={**own, "requests_per_minute": 0})


def test_without_a_token_nothing_but_the_document_is_answered(house: HouseWithApi, ids: Mapping[str, str]) -> None:
    nobody = client(house)
    answers = {route.name: ask(nobody, route, ids).status_code for route in ROUTES}
    assert answers == dict.fromkeys(answers, 401)
    assert client(house).get("/v1/openapi.json").status_code == 200


def test_without_a_scope_a_token_learns_whose_it_is_and_nothing_else(
    house: HouseWithApi, ids: Mapping[str, str]
) -> None:
    nothing = house.caller("/nothing")
    answers = {route.name: ask(nothing, route, ids).status_code for route in ROUTES}
    assert answers == {**dict.fromkeys(answers, 403), "GET /v1/me": 200}


def test_another_producer_sees_and_changes_nothing_of_a_shops_orders(
    house: HouseWithApi, ids: Mapping[str, str]
) -> None:
    panel = house.caller("/panel", Scope.ORDERS_WRITE, Scope.ORDERS_READ)
    commands = house.broker.watch("commands", "#")
    for route in ROUTES:
        if route.name in ENDLESS | PRODUCERS_OWN:
            continue
        answer = ask(panel, route, ids)
        is_list = route.method == "GET" and "{" not in route.path and answer.status_code == 200
        assert answer.status_code in {403, 404} or is_list, f"{route.name}: {answer.status_code} {answer.text}"
        assert not [word for word in ("shop1.example", "jo1@", "Jo Miller", '"shop"') if word in answer.text], (
            route.name
        )
        if is_list:
            assert answer.json()["items"] == [], route.name
    house.settle()
    assert commands.take(100, 0) == []
    assert house.event_types() == []


def test_another_producers_keys_are_its_own(house: HouseWithApi, ids: Mapping[str, str]) -> None:
    panel = house.caller("/panel", Scope.ORDERS_WRITE)
    order = {**ORDER, "order_id": "order-2", "domain": "shop2.example"}
    assert panel.post("/v1/orders", json=order, headers={"Idempotency-Key": ids["command"]}).status_code == 202
    assert panel.get(f"/v1/commands/{ids['command']}").json()["order_id"] == "order-2"
