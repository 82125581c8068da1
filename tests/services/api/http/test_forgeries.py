"""Cursors, keys and searches that were made up."""

from base64 import urlsafe_b64encode
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from services.api.access.identity import Scope
from tests.support.api import ORDER, HouseWithApi, items

MOMENT = "2026-01-01T12:00:00+00:00"
LISTS = ("/v1/orders", "/v1/installs", "/v1/activity")


def cursor(document: Any) -> str:
    return urlsafe_b64encode(orjson.dumps(document)).decode().rstrip("=")


@pytest.mark.parametrize(
    "forged",
    [
        "x",
        "====",
        "\N{SNOWMAN}",
        "A" * 400,
        cursor([]),
        cursor([MOMENT]),
        cursor([MOMENT, None]),
        cursor([MOMENT, 1.5]),
        cursor([MOMENT, True]),
        cursor([MOMENT, [1]]),
        cursor([MOMENT, 2**63]),
        cursor([MOMENT, -1]),
        cursor([MOMENT, "a\0b"]),
        cursor(["not a moment", "order-1"]),
        cursor(["0001-01-01T00:00:00+14:00", "order-1"]),
        cursor([1, "order-1"]),
        cursor({"at": MOMENT, "id": "x"}),
        urlsafe_b64encode(b'["' + MOMENT.encode() + b'", 99999999999999999999999]').decode().rstrip("="),
    ],
)
def test_a_forged_cursor_is_refused_and_breaks_nothing(admin: TestClient, forged: str) -> None:
    for path in LISTS:
        answer = admin.get(path, params={"after": forged})
        assert answer.status_code == 422, (path, answer.text)
        assert answer.json()["code"] == "invalid"


def test_a_cursor_gives_no_access_to_what_others_placed(house: HouseWithApi, admin: TestClient) -> None:
    shop, panel = (house.caller(f"/{name}", Scope.ORDERS_WRITE) for name in ("a-shop", "a-panel"))
    for number, producer in enumerate((shop, shop, panel)):
        order = {**ORDER, "order_id": f"order-{number}", "domain": f"shop{number}.example"}
        assert producer.post("/v1/orders", json=order).status_code == 202
        house.settle()
    following = admin.get("/v1/orders?limit=1").json()["next"]
    assert items(admin.get(following)) == ["order-1"]
    assert items(panel.get(following)) == []


@pytest.mark.parametrize("search", ["%", "_", "%%", "sho_1", "shop%", "\\", "'", "' OR 1=1 --", "[a-z]", "*", ".*"])
def test_a_search_is_a_text_and_no_pattern(house: HouseWithApi, admin: TestClient, search: str) -> None:
    house.order(1)
    house.settle()
    assert items(admin.get("/v1/orders", params={"search": "shop1"})) == ["order-1"]
    for path in LISTS:
        assert admin.get(path, params={"search": search}).json()["items"] == []


def test_keys_of_different_tokens_do_not_meet(house: HouseWithApi, shop: TestClient, panel: TestClient) -> None:
    key = {"Idempotency-Key": "the-same"}
    assert shop.post("/v1/orders", json=ORDER, headers=key).status_code == 202
    other = {**ORDER, "order_id": "order-2", "domain": "shop2.example"}
    assert panel.post("/v1/orders", json=other, headers=key).status_code == 202
    house.settle()
    assert shop.get("/v1/commands/the-same").json()["order_id"] == "order-1"
    assert panel.get("/v1/commands/the-same").json()["order_id"] == "order-2"
    stranger = house.caller("/stranger", Scope.ORDERS_READ)
    assert stranger.get("/v1/commands/the-same").status_code == 404
    operators = [house.caller(f"/{name}", Scope.INSTALLS_WRITE) for name in ("one", "two")]
    ids = [each.post("/v1/timer/run", headers=key).json()["id"] for each in operators]
    assert len({*ids, "the-same"}) == 3


def test_no_token_sees_or_changes_what_others_placed(house: HouseWithApi, shop: TestClient, panel: TestClient) -> None:
    shop.post("/v1/orders", json=ORDER)
    house.settle()
    for path in ("/v1/orders/order-1", "/v1/installs/order-1-g1"):
        assert (shop.get(path).status_code, panel.get(path).status_code) == (200, 404)
    for action in ("cancel", "reinstall", "resend-letter"):
        assert panel.post(f"/v1/orders/order-1/{action}").status_code == 404
