"""/v1/webhooks, as an admin's token uses it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from foundation.config.settings import Api, Settings
from foundation.handling.unit_of_work import Database
from foundation.store import Store
from services.api.access import tokens
from services.api.access.identity import Scope
from services.api.desk import Desk, load
from services.api.http.app import app_of
from services.api.projection.activity import activity
from services.api.service import MIGRATIONS
from tests.support.house import START, Clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/api.db")
    store.migrate([MIGRATIONS])
    yield store
    store.close()


def client(store: Store, scope: Scope) -> TestClient:
    settings = Settings(api=Api.model_validate({"secret_key": "a long random text"}))
    database = Database(store, "api", Clock().now, lambda *_: None, load)
    desk = Desk(settings, database, None, None, None)  # type: ignore[arg-type]  # nothing is published or projected
    with store.transaction() as connection:
        token = tokens.create(connection, scope, "/shop", [scope], "test", START)
    return TestClient(app_of(desk), headers={"Authorization": f"Bearer {token}"})


def test_a_webhook_is_created_shown_rotated_tested_and_disabled(store: Store) -> None:
    api = client(store, Scope.ADMIN)
    made = api.post("/v1/webhooks", json={"url": "https://shop.example/hook", "types": ["install.*"]})
    assert made.status_code == 201
    secret, place = made.json()["secret"], f"/v1/webhooks/{made.json()['id']}"
    assert secret.startswith("whsec_")
    [shown] = api.get("/v1/webhooks").json()["webhooks"]
    assert shown == api.get(place).json() == {name: made.json()[name] for name in shown}
    assert "secret" not in shown
    rotated = api.post(f"{place}/rotate").json()
    assert rotated["secret"] != secret
    assert rotated["old_secret_until"]
    tested = api.post(f"{place}/test")
    assert tested.status_code == 202
    assert api.get(f"{place}/deliveries").json()["deliveries"] == [tested.json()]
    assert api.post(f"{place}/disable").json()["disabled_because"] == "disabled by admin"
    refused = api.post(f"/v1/webhooks/deliveries/{tested.json()['id']}/redeliver")
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert api.post(f"{place}/enable").json()["disabled_because"] is None
    assert api.post(f"/v1/webhooks/deliveries/{tested.json()['id']}/redeliver").json()["state"] == "waiting"
    with store.reading() as connection:
        noted = connection.execute(activity.select().order_by(activity.c.id)).all()
    kinds = ["created", "rotated", "tested", "disabled", "enabled", "redelivered"]
    assert [(line.kind, line.actor) for line in noted] == [(f"webhook.{kind}", "admin") for kind in kinds]
    assert not [line for line in noted if "whsec_" in str(line) or "/hook" in str(line)]
    assert "https://shop.example (" in noted[0].detail


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"url": "https://127.0.0.1/"}, 409),
        ({"url": "http://shop.example/"}, 409),
        ({"url": "https://shop.example/", "types": ["nothing"]}, 409),
        ({"url": "javascript:alert(1)"}, 409),
        ({"url": "https://shop.example/a\0b"}, 409),
        ({"url": "https://shop.example/\x1b"}, 409),
        ({"url": "https://shop.example/", "source": "/shop\0"}, 422),
        ({}, 422),
    ],
)
def test_what_is_wrong_with_a_webhook_is_told(store: Store, given: dict[str, Any], status: int) -> None:
    assert client(store, Scope.ADMIN).post("/v1/webhooks", json=given).status_code == status


def test_others_may_not_even_look(store: Store) -> None:
    api = client(store, Scope.INSTALLS_WRITE)
    assert {api.get("/v1/webhooks").status_code, api.post("/v1/webhooks", json={}).status_code} == {403}
    assert client(store, Scope.ADMIN).get("/v1/webhooks/none").status_code == 404
