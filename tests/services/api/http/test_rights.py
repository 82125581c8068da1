"""Which scope a token needs for what: every route is in this table, and each is called with each scope."""

from collections.abc import Collection

import pytest

from services.api.access.identity import Scope
from tests.support.api import HouseWithApi, client, routes

ANYBODY: Collection[Scope] = ()
ALL = frozenset(Scope)
READERS = ALL
PRODUCERS = frozenset({Scope.ORDERS_WRITE, Scope.ADMIN})
CHANGERS = frozenset({Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE, Scope.ADMIN})
OPERATORS = frozenset({Scope.INSTALLS_WRITE, Scope.ADMIN})
ADMINS = frozenset({Scope.ADMIN})

RIGHTS = {
    "GET /v1/openapi.json": ANYBODY,
    "GET /v1/me": ALL,
    "POST /v1/orders": PRODUCERS,
    "GET /v1/orders": READERS,
    "GET /v1/orders/{order_id}": READERS,
    "POST /v1/orders/{order_id}/reinstall": CHANGERS,
    "POST /v1/orders/{order_id}/cancel": CHANGERS,
    "POST /v1/orders/{order_id}/retry": OPERATORS,
    "POST /v1/orders/{order_id}/resend-letter": CHANGERS,
    "POST /v1/orders/{order_id}/amend": OPERATORS,
    "GET /v1/letters": READERS,
    "POST /v1/installs/{install_id}/resend-letter": OPERATORS,
    "GET /v1/status": OPERATORS,
    "GET /v1/alerts": OPERATORS,
    "GET /v1/timer": OPERATORS,
    "GET /v1/servers": OPERATORS,
    "GET /v1/site-types": OPERATORS,
    "GET /v1/parked": OPERATORS,
    "POST /v1/parked/requeue": OPERATORS,
    "POST /v1/parked/discard": OPERATORS,
    "POST /v1/parked/body": OPERATORS,
    "POST /v1/parked/correct": OPERATORS,
    "GET /v1/installs": READERS,
    "GET /v1/installs/{install_id}": READERS,
    "POST /v1/installs/{install_id}/cancel": OPERATORS,
    "POST /v1/installs/{install_id}/retry": OPERATORS,
    "POST /v1/installs/{install_id}/resolve": OPERATORS,
    "POST /v1/timer/run": OPERATORS,
    "POST /v1/timer/pause": OPERATORS,
    "POST /v1/timer/resume": OPERATORS,
    "POST /v1/servers/{name}/pause": OPERATORS,
    "POST /v1/servers/{name}/resume": OPERATORS,
    "POST /v1/site-types/{name}": ADMINS,
    "GET /v1/commands/{id}": READERS,
    "GET /v1/activity": READERS,
    "GET /v1/events": READERS,
    "POST /v1/webhooks": ADMINS,
    "GET /v1/webhooks": ADMINS,
    "GET /v1/webhooks/{id}": ADMINS,
    "GET /v1/webhooks/{id}/deliveries": ADMINS,
    "POST /v1/webhooks/{id}/rotate": ADMINS,
    "POST /v1/webhooks/{id}/disable": ADMINS,
    "POST /v1/webhooks/{id}/enable": ADMINS,
    "POST /v1/webhooks/{id}/test": ADMINS,
    "POST /v1/webhooks/deliveries/{id}/redeliver": ADMINS,
}
PATH = {"order_id": "order-1", "install_id": "order-1-g1", "name": "wordpress", "id": "none"}


def called(house: HouseWithApi, route: str, token: str) -> int:
    method, path = route.split(" ")
    return client(house, token).request(method, path.format(**PATH)).status_code


def test_every_route_is_in_the_table(house: HouseWithApi) -> None:
    assert {route for route in routes(house.api.server._app) if " /v1/" in route} == set(RIGHTS)


@pytest.mark.parametrize("route", RIGHTS)
def test_each_route_is_for_those_with_its_scopes_alone(house: HouseWithApi, route: str) -> None:
    house.api.server.stopping.set()  # a stream of events ends at once
    house.order(1)
    house.settle()
    may = {scope for scope in Scope if called(house, route, house.token(f"/{scope}", scope)) not in {401, 403}}
    assert may == (set(RIGHTS[route]) or ALL)
    refused = 200 if RIGHTS[route] == ANYBODY else 401
    assert {called(house, route, token) for token in ("", "sct_unknown", "Bearer")} == {refused}
