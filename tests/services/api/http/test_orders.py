"""Placing orders over HTTP, and following them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from foundation.broker.limits import MAX_BYTES
from services.api.access.identity import Scope
from services.api.http import commands
from tests.support.api import ORDER, HouseWithApi, client, items
from tests.support.brokers import until
from tests.support.house import PATIENCE, failure

BOTH_STORES = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)


def place(caller: TestClient, key: str = "key-1", **changes: Any) -> Any:
    return caller.post("/v1/orders", json={**ORDER, **changes}, headers={"Idempotency-Key": key})


@BOTH_STORES
def test_an_order_is_followed_from_being_placed_to_its_letter(house: HouseWithApi, shop: TestClient) -> None:
    placed = place(shop, priority="high")
    assert placed.status_code == 202
    assert placed.headers["location"] == placed.json()["url"] == "/v1/orders/order-1"
    assert placed.json()["state"] == "placed"
    house.settle()
    assert shop.get("/v1/orders/order-1").json()["state"] == "created"
    house.advance_until(house.mailed)
    told = shop.get(placed.headers["location"]).json()
    assert (told["state"], told["install_state"], told["letter"]["state"]) == ("created", "installed", "sent")
    assert told["priority"] == "high"
    assert told["username"] == house.install().staged.account.username
    assert told["address"] == house.server.address
    assert told["control_panel_url"] == house.server.control_panel_url
    install = shop.get("/v1/installs/order-1-g1").json()
    assert install["letter"] == told["letter"]
    assert items(shop.get("/v1/orders?state=created")) == ["order-1"]
    assert items(shop.get("/v1/installs?state=installed,failed&search=shop1")) == ["order-1"]
    kinds = items(shop.get("/v1/activity?order_id=order-1"), "kind")
    assert {"order.placed", "account.created", "install.completed", "mail.sent"} <= set(kinds)


@BOTH_STORES
def test_the_same_request_again_places_nothing_and_another_with_its_key_is_refused(
    house: HouseWithApi, shop: TestClient
) -> None:
    assert place(shop).status_code == 202
    assert place(shop).status_code == 200
    reused = place(shop, domain="other.example")
    assert (reused.status_code, reused.json()["code"]) == (409, "idempotency_key_reused")
    house.settle()
    assert place(shop).json()["state"] == "created"
    assert house.event_types().count("order.accepted") == 1


def test_the_key_is_the_events_id_and_the_source_that_of_the_token(house: HouseWithApi, shop: TestClient) -> None:
    orders = house.broker.watch("orders", "#")
    place(shop, key="8c1f")
    house.settle()
    [delivery] = orders.take(10, 0)
    assert b'"id":"8c1f","source":"/shop"' in delivery.body
    assert b'"authtype":"service_account","authid":"shop"' in delivery.body


def test_a_known_order_sent_again_unchanged_is_answered_with_200(house: HouseWithApi, shop: TestClient) -> None:
    place(shop)
    house.settle()
    again = place(shop, key="key-2")
    assert (again.status_code, again.json()["state"]) == (200, "created")
    house.settle()
    assert house.event_types().count("order.known") == 1
    conflict = place(shop, key="key-3", domain="other.example")
    assert (conflict.status_code, conflict.json()["code"]) == (409, "order_conflict")


def test_an_order_that_another_producer_has_placed_is_a_conflict_and_shows_nothing(
    house: HouseWithApi, shop: TestClient, panel: TestClient
) -> None:
    place(shop)
    house.settle()
    assert place(panel, domain="mine.example").status_code == 202
    house.settle()
    again = place(panel, domain="mine.example")
    assert (again.status_code, again.json()["code"]) == (409, "order_conflict")
    told = panel.get("/v1/orders/order-1").json()
    assert (told["state"], told["cause"]["code"], "domain" in told) == ("rejected", "order_conflict", False)


def test_all_fields_that_are_wrong_are_named_and_no_value_is_repeated(shop: TestClient) -> None:
    wrong = place(shop, order_id="-", domain="no domain", customer={"name": "x", "email": "secret"})
    assert wrong.status_code == 422
    assert wrong.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in wrong.json()["errors"]] == [
        "data.order_id",
        "data.domain",
        "data.customer.email",
    ]
    assert "secret" not in wrong.text
    assert place(shop, blog_name="", server=None).status_code == 202  # as forms and PHP send it


def test_what_order_intake_rejects_is_told_with_its_cause_and_can_be_corrected(
    house: HouseWithApi, shop: TestClient
) -> None:
    place(shop, site_type="unknown")
    house.settle()
    told = shop.get("/v1/orders/order-1").json()
    assert (told["state"], told["cause"]["code"]) == ("rejected", "invalid_order")
    again = place(shop, site_type="unknown")
    assert (again.status_code, again.json()["code"]) == (422, "invalid_order")
    assert again.json()["remedy"]
    assert place(shop, key="key-2").status_code == 202
    house.settle()
    assert shop.get("/v1/orders/order-1").json()["state"] == "created"


def test_an_order_whose_account_could_not_be_created_says_why(house: HouseWithApi, shop: TestClient) -> None:
    house.server.failures = [failure("disk_full")]
    place(shop)
    house.settle()
    told = shop.get("/v1/orders/order-1").json()
    assert (told["state"], told["cause"]["code"], told["attempt"]) == ("accepted", "disk_full", 2)  # the next attempt


def test_who_has_no_token_or_not_the_scope_is_refused(house: HouseWithApi, operator: TestClient) -> None:
    nobody = place(client(house))
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert place(client(house, "sct_wrong")).status_code == 401
    reader = house.caller("/reader", Scope.ORDERS_READ)
    assert place(reader).status_code == 403
    assert place(operator).status_code == 403
    assert operator.get("/v1/orders").status_code == 200
    assert reader.post("/v1/timer/run").status_code == 403


def test_a_large_body_is_refused(shop: TestClient) -> None:
    large = shop.post("/v1/orders", content=b"x" * (MAX_BYTES + 1))
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_order_is_a_problem(shop: TestClient, body: bytes) -> None:
    answer = shop.post("/v1/orders", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_that_asks_too_often_has_to_wait(tmp_path: Any) -> None:
    house = HouseWithApi(tmp_path, api={"requests_per_minute": 3})
    shop, panel = house.caller("/shop", Scope.ORDERS_READ), house.caller("/panel", Scope.ORDERS_READ)
    assert [shop.get("/v1/me").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert shop.get("/v1/me").headers["retry-after"] == "20"
    assert panel.get("/v1/me").status_code == 200
    house.pass_time(20)
    assert [shop.get("/v1/me").status_code for _ in range(2)] == [200, 429]


def test_an_address_that_tries_many_tokens_has_to_wait(house: HouseWithApi) -> None:
    stranger = client(house, "sct_guess")
    assert {stranger.get("/v1/me").status_code for _ in range(20)} == {401}
    assert stranger.get("/v1/me").status_code == 429
    house.pass_time(60)
    assert stranger.get("/v1/me").status_code == 401


def test_the_order_is_durable_while_the_broker_is_away(house: HouseWithApi, shop: TestClient) -> None:
    house.api_relay._publisher = None  # type: ignore[assignment]  # nothing can be published
    assert place(shop).status_code == 202
    house.api_relay._publisher = house.broker.publisher()
    house.pass_time(60)
    house.api_relay.sweep()
    house.settle()
    assert shop.get("/v1/orders/order-1").json()["state"] == "created"


def test_unchanged_documents_are_not_sent_again(house: HouseWithApi, shop: TestClient) -> None:
    place(shop)
    house.settle()
    for path in ("/v1/orders/order-1", "/v1/orders", "/v1/installs", "/v1/activity"):
        known = shop.get(path).headers["etag"]
        unchanged = shop.get(path, headers={"If-None-Match": f'"x", W/{known}'})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", known)
    known = shop.get("/v1/orders/order-1").headers["etag"]
    house.advance_until(house.mailed)
    assert shop.get("/v1/orders/order-1", headers={"If-None-Match": known}).status_code == 200


def test_pages_follow_each_other(house: HouseWithApi, shop: TestClient, operator: TestClient) -> None:
    for number in range(1, 6):
        place(shop, key=f"key-{number}", order_id=f"order-{number}", domain=f"shop{number}.example")
    house.settle()
    for caller in (shop, operator):
        path, seen = "/v1/installs?limit=2&state=staged,failed", list[str]()
        while path:
            answer = caller.get(path)
            seen += items(answer)
            path = answer.json().get("next", "")
            assert answer.headers.get("link", "") == (f'<{path}>; rel="next"' if path else "")
        assert sorted(seen) == [f"order-{number}" for number in range(1, 6)]
    assert shop.get("/v1/installs?after=nonsense").status_code == 422
    assert shop.get("/v1/installs?limit=0").status_code == 422
    assert shop.get("/v1/installs?search=%00").status_code == 400


def test_a_producer_sees_only_what_it_placed(house: HouseWithApi, shop: TestClient, panel: TestClient) -> None:
    place(shop)
    house.settle()
    assert items(shop.get("/v1/orders")) == ["order-1"]
    for path in ("/v1/orders/order-1", "/v1/installs/order-1-g1"):
        assert panel.get(path).status_code == 404
        assert shop.get(path).status_code == 200
    for path in ("/v1/orders", "/v1/installs", "/v1/activity", "/v1/orders?search=shop1"):
        assert items(panel.get(path)) == []
    for path in ("reinstall", "cancel", "resend-letter"):
        assert panel.post(f"/v1/orders/order-1/{path}").status_code == 404


def test_who_prefers_to_wait_is_answered_once_the_account_exists(house: HouseWithApi) -> None:
    token = house.token("/shop", Scope.ORDERS_WRITE)
    with house.served() as address, ThreadPoolExecutor(40) as threads:

        def waiting(number: int) -> Any:
            headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=20"}
            order = {**ORDER, "order_id": f"order-{number}", "domain": f"shop{number}.example"}
            order["site_type"] = "unknown" if number == 7 else "wordpress"
            return fetch(f"{address}/v1/orders", order, headers)

        # more than the thread pool of the web server could hold
        answers = [threads.submit(waiting, number) for number in range(60)]
        until(lambda: work(house) and all(answer.done() for answer in answers), PATIENCE)
    found = [answer.result() for answer in answers]
    assert [status for status, _ in found] == [422 if number == 7 else 200 for number in range(60)]
    assert {told["state"] for status, told in found if status == 200} == {"created"}


def test_who_waits_too_long_is_told_how_far_it_is(shop: TestClient) -> None:
    answer = shop.post("/v1/orders", json=ORDER, headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")


def test_who_waits_for_what_is_parked_is_told_so_before_the_time_is_up(
    house: HouseWithApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LONGEST_WAIT", 600)
    token = house.token("/shop", Scope.ORDERS_WRITE)
    shop = client(house, token)
    assert shop.post("/v1/orders", json=ORDER).status_code == 202
    house.settle()
    assert shop.post("/v1/orders/order-1/cancel", json={"reason": "a mistake"}).status_code == 202
    house.settle()
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=600"}  # longer than we wait for the answer
    with house.served() as address, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(fetch, f"{address}/v1/orders/order-1/reinstall", {}, headers)
        until(lambda: work(house) and answer.done(), PATIENCE)
    status, told = answer.result()
    assert (status, told["code"]) == (409, "order_cancelled")


def work(house: HouseWithApi) -> bool:
    house.settle()
    return True


def fetch(address: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    answer = httpx2.post(address, json=body, headers=headers, timeout=PATIENCE)
    return answer.status_code, answer.json()
