"""The page that a customer follows an order on."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from schemas.values import CauseKind
from services.api.access.identity import Scope
from services.api.status.texts import TEXTS
from tests.support.api import ORDER, HouseWithApi, client
from tests.support.house import failure

OWN = {"address": "127.0.0.1:0", "secret_key": "a long random text", "public_url": "https://orders.example/"}


@pytest.fixture
def house(tmp_path: Path) -> HouseWithApi:
    return HouseWithApi(tmp_path, api=OWN)


@pytest.fixture
def shop(house: HouseWithApi) -> TestClient:
    return house.caller("/shop", Scope.ORDERS_WRITE, Scope.ORDERS_READ)


def place(shop: TestClient, **changed: Any) -> str:
    """Return the path of the order's page."""
    placed = shop.post("/v1/orders", json={**ORDER, **changed})
    assert placed.status_code in (200, 202), placed.text
    url: str = placed.json()["customer_status_url"]
    assert url.startswith("https://orders.example/status/order-1.")
    return url.removeprefix("https://orders.example")


def test_the_page_goes_with_the_order_and_ends_some_days_after(house: HouseWithApi, shop: TestClient) -> None:
    page, customer = place(shop), client(house)
    arrived = customer.get(page)
    assert arrived.status_code == 200
    assert 'http-equiv="refresh"' in arrived.text
    house.settle()
    staged = customer.get(page).text
    assert "Your website for shop1.example" in staged
    assert "ready" in staged
    house.advance_until(house.mailed)
    house.settle()
    done = customer.get(page)
    assert "http://shop1.example/" in done.text
    assert TEXTS["en"]["done"] in done.text
    assert "refresh" not in done.text
    assert "script" not in done.text
    assert done.headers["content-security-policy"].startswith("default-src 'none'")
    house.clock.moment += timedelta(days=house.settings.api.status_page_days + 1)
    over = customer.get(page)
    assert over.status_code == 410
    assert TEXTS["en"]["over"] in over.text


def test_it_speaks_the_orders_language(house: HouseWithApi, shop: TestClient) -> None:
    page = place(shop, locale="de_AT")
    house.settle()
    assert "Ihre Website für shop1.example" in client(house).get(page).text


def test_no_cause_is_told(house: HouseWithApi, shop: TestClient) -> None:
    house.installer.failures = [failure("db_down", CauseKind.PERMANENT)]
    page = place(shop)
    house.settle()
    house.tick()
    house.settle()
    told = client(house).get(page).text
    assert TEXTS["en"]["trouble"] in told
    assert "db_down" not in told
    assert "jo1@customer.example" not in told


def test_a_link_cannot_be_guessed_nor_made_by_another_producer(house: HouseWithApi, shop: TestClient) -> None:
    page, customer = place(shop), client(house)
    another = house.caller("/panel", Scope.ORDERS_WRITE)
    theirs = another.post("/v1/orders", json=ORDER).json()["customer_status_url"].removeprefix("https://orders.example")
    house.settle()
    assert customer.get(page).status_code == 200
    for wrong in (theirs, page[:-1], f"{page}x", "/status/order-1", "/status/order-1.", "/status/%E2%82%AC.%00"):
        assert customer.get(wrong).status_code in {400, 404}, wrong


def test_a_link_survives_the_loss_of_the_projection(shop: TestClient, tmp_path: Path) -> None:
    page = place(shop)
    (tmp_path / "again").mkdir()
    again = HouseWithApi(tmp_path / "again", api=OWN)
    assert place(again.caller("/shop", Scope.ORDERS_WRITE)) == page


def test_without_a_secret_key_there_is_no_link(tmp_path: Path) -> None:
    shop = HouseWithApi(tmp_path).caller("/shop", Scope.ORDERS_WRITE)
    assert "customer_status_url" not in shop.post("/v1/orders", json=ORDER).json()


def test_all_languages_say_everything() -> None:
    assert {frozenset(texts) for texts in TEXTS.values()} == {frozenset(TEXTS["en"])}
