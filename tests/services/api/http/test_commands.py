"""Asking for something over HTTP, and learning what has become of it."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from foundation.broker import Delivery, Message
from foundation.broker.topology import PARKING
from foundation.config.queues import INSTALLER_COMMANDS, INTAKE_ORDERS
from schemas.installs import InstallProgress
from schemas.values import CauseKind
from services.api.http import commands
from services.installer.states import State
from tests.support.api import ORDER, HouseWithApi
from tests.support.house import failure


@pytest.fixture(autouse=True)
def placed(house: HouseWithApi, shop: TestClient) -> None:
    assert shop.post("/v1/orders", json=ORDER).status_code == 202
    house.settle()
    house.events()


def outcome(house: HouseWithApi, caller: TestClient, asked: Any) -> tuple[str, str | None]:
    """Return what has become of a command, and the type of the answer."""
    assert asked.status_code == 202, asked.text
    assert asked.headers["location"] == asked.json()["url"]
    house.settle()
    told = caller.get(asked.json()["url"]).json()
    return told["outcome"], told.get("answer", "").removeprefix("sitecrew.").removesuffix(".v1")


def test_an_operator_cancels_retries_and_resolves_installs(house: HouseWithApi, operator: TestClient) -> None:
    house.installer.failures = [failure("db_down", CauseKind.PERMANENT) for _ in range(2)]
    house.tick()
    assert house.is_in(State.FAILED)
    assert outcome(house, operator, operator.post("/v1/installs/order-1-g1/retry")) == ("done", "install.staged")
    house.advance(60)
    house.tick()
    resolved = operator.post("/v1/installs/order-1-g1/resolve", json={"note": "did it by hand"})
    assert outcome(house, operator, resolved) == ("done", "install.resolved")
    told = operator.get("/v1/installs/order-1-g1").json()
    assert (told["state"], told["reason"]) == ("resolved", "did it by hand")
    named: dict[str, Any] = {"install_id": "order-1-g1", "order_id": "order-1", "generation": 1, "attempt": 1}
    house.publish(InstallProgress(**named, step="database"))
    house.publish(InstallProgress(**named, step="database", seconds=0.5))
    house.settle()
    [step] = operator.get("/v1/installs/order-1-g1").json()["steps"]
    assert (step["attempt"], step["step"], step["seconds"]) == (1, "database", 0.5)
    again = operator.post("/v1/installs/order-1-g1/resolve", json={"note": "twice"})
    assert outcome(house, operator, again) == ("refused", "command.refused")
    assert operator.post("/v1/installs/order-9-g1/cancel").status_code == 404


def test_a_producer_cancels_and_reinstalls_its_own_order(house: HouseWithApi, shop: TestClient) -> None:
    cancelled = shop.post("/v1/orders/order-1/cancel", json={"reason": "changed her mind"})
    assert outcome(house, shop, cancelled) == ("done", "order.withdrawn")
    told = shop.get("/v1/orders/order-1").json()
    assert (told["state"], told["reason"], told["install_state"]) == ("cancelled", "changed her mind", "cancelled")
    assert outcome(house, shop, shop.post("/v1/orders/order-1/cancel")) == ("done", "order.withdrawn")
    again = shop.post("/v1/orders/order-1/reinstall", json={})
    assert (again.status_code, again.json()["code"]) == (409, "order_cancelled")


def test_what_a_producer_may_not_do_is_refused_with_the_cause(house: HouseWithApi, shop: TestClient) -> None:
    house.advance_until(house.mailed)
    late = shop.post("/v1/orders/order-1/cancel")
    assert outcome(house, shop, late) == ("refused", "order.rejected")
    assert shop.get(late.json()["url"]).json()["cause"]["code"] == "already_installed"


@pytest.mark.parametrize("who", ["shop", "operator"])
def test_an_installed_site_is_installed_again_and_its_letter_is_sent_again(
    house: HouseWithApi, request: pytest.FixtureRequest, who: str
) -> None:
    caller: TestClient = request.getfixturevalue(who)
    early = caller.post("/v1/orders/order-1/resend-letter")
    assert (early.status_code, early.json()["code"]) == (409, "no_letter")
    house.advance_until(house.mailed)
    resent = caller.post("/v1/orders/order-1/resend-letter", content="[]", headers={"Content-Type": "application/json"})
    assert outcome(house, caller, resent)[0] == "done"
    assert len(house.smtp.sent) == 2
    again = caller.post("/v1/orders/order-1/reinstall", json={"blog_name": "New"})
    assert outcome(house, caller, again) == ("done", "install.staged")
    installs = caller.get("/v1/orders/order-1").json()["installs"]
    assert [(install["generation"], install["state"]) for install in installs] == [(2, "staged"), (1, "installed")]
    elsewhere = caller.post("/v1/orders/order-1/resend-letter", json={"recipient": "other@customer.example"})
    assert elsewhere.status_code == (403 if who == "shop" else 202)


def test_the_timer_is_paused_resumed_and_run(house: HouseWithApi, shop: TestClient, operator: TestClient) -> None:
    paused = operator.post("/v1/timer/pause", json={"reason": "maintenance"})
    assert outcome(house, operator, paused) == ("done", "timer.paused")
    assert outcome(house, operator, operator.post("/v1/timer/resume")) == ("done", "timer.resumed")
    assert operator.post("/v1/timer/run").json()["outcome"] == "done"
    house.settle()
    assert house.is_called_to_tick
    assert shop.post("/v1/timer/run").status_code == 403


def test_a_server_is_paused_until_then_and_resumed(house: HouseWithApi, shop: TestClient, operator: TestClient) -> None:
    body = {"reason": "a new disk", "until": "2026-01-02T12:00:00Z"}
    paused = operator.post("/v1/servers/local/pause", json=body)
    assert outcome(house, operator, paused) == ("done", "server.opened")
    assert outcome(house, operator, operator.post("/v1/servers/local/resume")) == ("done", "server.closed")
    assert outcome(house, operator, operator.post("/v1/servers/elsewhere/resume"))[0] == "refused"
    assert operator.post("/v1/servers/local/pause", json={"until": "soon"}).status_code == 422
    assert shop.post("/v1/servers/local/pause").status_code == 403


def test_a_site_type_is_switched_by_an_admin_only(house: HouseWithApi, operator: TestClient, admin: TestClient) -> None:
    switched = admin.post("/v1/site-types/wordpress", json={"stage": "off"})
    assert outcome(house, admin, switched) == ("done", "site_type.configured")
    assert operator.post("/v1/site-types/wordpress", json={}).status_code == 403
    assert admin.post("/v1/site-types/wordpress", json={"stage": "perhaps"}).status_code == 422


def test_a_command_with_a_key_is_carried_out_once(house: HouseWithApi, operator: TestClient, admin: TestClient) -> None:
    key = {"Idempotency-Key": "key-1"}
    first = operator.post("/v1/installs/order-1-g1/cancel", headers=key)
    house.settle()
    again = operator.post("/v1/installs/order-1-g1/cancel", headers=key)
    assert (again.json()["id"], again.json()["outcome"]) == (first.json()["id"], "done")
    assert house.event_types().count("install.cancelled") == 1
    assert operator.post("/v1/timer/run", headers=key).status_code == 409
    assert admin.post("/v1/timer/run", headers=key).status_code == 202  # keys of others are others


def test_who_asked_is_in_the_log_and_what_they_asked_is_theirs(
    house: HouseWithApi, shop: TestClient, panel: TestClient, operator: TestClient
) -> None:
    asked = operator.post("/v1/installs/order-1-g1/cancel", json={"reason": "no longer wanted"})
    house.settle()
    lines = operator.get("/v1/activity?kind=install.cancel,install.cancelled").json()["items"]
    assert [(line["actor"], line["actor_type"]) for line in lines] == [("desk", "service_account")] * 2
    assert panel.get(asked.json()["url"]).status_code == 404
    by_shop = shop.post("/v1/orders/order-1/cancel")
    assert panel.get(by_shop.json()["url"]).status_code == 404
    assert operator.get(by_shop.json()["url"]).status_code == 200


def sent(house: HouseWithApi, exchange: str, ask: Any) -> tuple[Any, Delivery]:
    """Ask for something; return the answer and the message, which no service has taken yet."""
    watcher = house.broker.watch(exchange, "#")
    asked = ask()
    house.api_relay.run_once(timeout=0)
    [delivery] = watcher.take(10, 0)
    return asked, delivery


def park(house: HouseWithApi, queue: str, body: bytes, **headers: str) -> None:
    ours = {"parked-from": queue, "reason-code": "poison", "reason": "it ended its worker", "remedy": "ask us"}
    house.broker.publisher().publish([Message(PARKING, queue, body, "parked-1", headers={**ours, **headers})])
    while house.hear():
        pass


def test_what_is_parked_without_an_answer_is_refused_with_the_reason(house: HouseWithApi, shop: TestClient) -> None:
    shop.post("/v1/orders/order-1/cancel")
    parked = shop.post("/v1/orders/order-1/reinstall")  # sent before it is known to be cancelled
    assert outcome(house, shop, parked) == ("refused", "")
    told = shop.get(parked.json()["url"]).json()
    assert (told["cause"]["code"], told["detail"]) == ("order_cancelled", "the order order-1 is cancelled")
    assert told["answered_at"]
    assert "order.rejected" not in house.event_types()


def test_what_was_parked_is_done_if_it_is_carried_out_after_all(house: HouseWithApi, operator: TestClient) -> None:
    asked, message = sent(house, "commands", lambda: operator.post("/v1/installs/order-1-g1/cancel"))
    park(house, INSTALLER_COMMANDS, message.body)
    told = operator.get(asked.json()["url"]).json()
    assert (told["outcome"], told["cause"]["code"], told["cause"]["remedy"]) == ("refused", "poison", "ask us")
    assert outcome(house, operator, asked) == ("done", "install.cancelled")
    assert "cause" not in operator.get(asked.json()["url"]).json()


def test_a_parked_message_that_only_bears_the_id_of_something_asked_says_nothing_about_it(
    house: HouseWithApi, operator: TestClient
) -> None:
    asked, message = sent(house, "commands", lambda: operator.post("/v1/installs/order-1-g1/cancel"))
    for forged in (message.body.replace(b"order-1-g1", b"order-2-g1"), b"{}", b"\xff"):
        park(house, INSTALLER_COMMANDS, forged)
    assert operator.get(asked.json()["url"]).json()["outcome"] == "open"


def test_an_order_that_is_parked_is_told_as_rejected_and_can_be_sent_again(
    house: HouseWithApi, shop: TestClient
) -> None:
    order, key = {**ORDER, "order_id": "order-2", "domain": "shop2.example"}, {"Idempotency-Key": "key-2"}
    _, message = sent(house, "orders", lambda: shop.post("/v1/orders", json=order, headers=key))
    park(house, INTAKE_ORDERS, message.body, **{"reason-code": "Not a code"})
    told = shop.get("/v1/orders/order-2").json()
    assert (told["state"], told["cause"]["code"]) == ("rejected", "parked")
    again = shop.post("/v1/orders", json=order, headers=key)
    assert (again.status_code, again.json()["title"], again.json()["code"]) == (422, "it ended its worker", "parked")
    assert shop.post("/v1/orders", json={**order, "blog_name": "Shop"}).status_code == 202


def test_what_is_not_answered_for_a_minute_says_since_when(house: HouseWithApi, operator: TestClient) -> None:
    asked = operator.post("/v1/installs/order-1-g1/cancel").json()
    assert "detail" not in operator.get(asked["url"]).json()
    house.pass_time(60)
    told = operator.get(asked["url"]).json()
    assert told["outcome"] == "open"
    assert told["detail"].startswith("no answer since 2026-01-01T12:")
    house.api_relay.sweep()
    house.settle()
    assert "detail" not in operator.get(asked["url"]).json()


@pytest.fixture
def away(house: HouseWithApi, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds the broker has been away."""
    seconds = [10.0]
    monkeypatch.setattr(commands, "LONGEST_WAIT", 3600)
    monkeypatch.setattr(house.broker, "lost_for", lambda: seconds[-1])
    return seconds


def test_who_prefers_to_wait_is_answered_at_once_while_the_broker_is_away_and_asks_for_nothing_twice(
    house: HouseWithApi, shop: TestClient, away: list[float]
) -> None:
    asked = shop.post("/v1/orders/order-1/cancel", headers={"Prefer": "wait=3600"})
    assert (asked.status_code, asked.headers["retry-after"]) == (202, "5")
    assert "preference-applied" not in asked.headers
    assert asked.json()["outcome"] == "open"
    assert asked.json()["detail"].startswith("the broker does not answer the api; it is stored, and is carried out")
    away.append(0)
    assert outcome(house, shop, asked) == ("done", "order.withdrawn")


@pytest.mark.usefixtures("away")
def test_an_order_that_is_placed_meanwhile_is_taken_at_once(house: HouseWithApi, shop: TestClient) -> None:
    order = {**ORDER, "order_id": "order-2", "domain": "shop2.example"}
    placed = shop.post("/v1/orders", json=order, headers={"Prefer": "wait=3600"})
    assert (placed.status_code, placed.json()["state"], placed.headers["retry-after"]) == (202, "placed", "5")
    house.settle()
    assert shop.get("/v1/orders/order-2").json()["state"] == "created"


def test_a_connection_that_was_just_lost_may_come_back(shop: TestClient, away: list[float]) -> None:
    away.append(1.0)
    asked = shop.post("/v1/orders/order-1/cancel", headers={"Prefer": "wait=1"})
    assert asked.headers["preference-applied"] == "wait=1"
    assert "retry-after" not in asked.headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("requeue", {"ids": ["x"]}),
        ("discard", {"ids": ["x"]}),
        ("body", {"id": "x"}),
        ("correct", {"id": "x", "body": "{}"}),
    ],
)
@pytest.mark.usefixtures("away")
def test_parked_messages_are_out_of_reach_while_the_broker_is_away(operator: TestClient, path: str, body: Any) -> None:
    answer = operator.post(f"/v1/parked/{path}", json=body)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "5")
    assert answer.json()["remedy"] == "Send the request again after Retry-After seconds."
