"""Following what happens as server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from services.api.access import tokens
from services.api.access.identity import Scope
from services.api.finding import listing
from services.api.http import activity
from services.api.projection.activity import Line
from tests.support.api import ORDER, HouseWithApi, client
from tests.support.brokers import until
from tests.support.house import PATIENCE


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream, and comments as events that have nothing else."""
    event: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line:
            yield event
            event = {}
        else:
            event[name or "comment"] = json.loads(value) if name == "data" else value


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "KEEP_ALIVE", 0.1)


def following(address: str, token: str, **headers: str) -> Any:
    bearer = {"Authorization": f"Bearer {token}", **headers}
    return httpx2.stream("GET", f"{address}/v1/events", headers=bearer, timeout=PATIENCE)


def of_kind(stream: Iterator[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(event for event in stream if event.get("event") == kind)


def test_a_producer_follows_its_orders_live_and_goes_on_where_it_was(house: HouseWithApi) -> None:
    mine, other = (house.token(source, Scope.ORDERS_WRITE) for source in ("/shop", "/panel"))
    with house.served() as address:
        with following(address, mine) as answer, following(address, other) as others:
            assert answer.headers["content-type"].startswith("text/event-stream")
            stream, theirs = events(answer.iter_lines()), events(others.iter_lines())
            assert (next(stream), next(theirs)) == ({"comment": "connected"},) * 2
            placed = {"order-1": mine, "order-2": other}
            for number, (order_id, token) in enumerate(placed.items()):
                order = {**ORDER, "order_id": order_id, "domain": f"shop{number}.example"}
                assert client(house, token).post("/v1/orders", json=order).status_code == 202
            while house.api_relay.run_once(timeout=0):
                house.hear()
            first = next(stream)
            assert (first["event"], first["data"]["order_id"]) == ("order.placed", "order-1")
            house.settle()
            created = of_kind(stream, "account.created")
            assert created["data"]["order_id"] == "order-1"
            assert of_kind(theirs, "account.created")["data"]["order_id"] == "order-2"
        house.advance_until(house.mailed)
        with following(address, mine, **{"Last-Event-ID": created["id"]}) as answer:
            stream = events(answer.iter_lines())
            sent = of_kind(stream, "mail.sent")
            assert sent["data"]["order_id"] == "order-1"
            assert int(sent["id"]) > int(created["id"])


def test_a_producer_hears_that_its_order_was_rejected(house: HouseWithApi) -> None:
    mine, other = (house.token(source, Scope.ORDERS_WRITE) for source in ("/shop", "/panel"))
    for token, order_id in ((other, "order-1"), (mine, "order-2"), (other, "order-3")):
        client(house, token).post("/v1/orders", json={**ORDER, "order_id": order_id, "site_type": "unknown"})
    house.settle()
    with house.api.desk.reading() as connection:
        heard = [(line.kind, line.order_id) for line in listing.news(connection, 0, "/shop", 10)]
    assert heard == [("order.placed", "order-2"), ("order.rejected", "order-2")]


@pytest.mark.usefixtures("quick")
def test_a_stream_says_that_it_is_there_and_ends_when_the_token_is_disabled(house: HouseWithApi) -> None:
    token = house.token("/shop", Scope.ORDERS_READ)
    with house.served() as address, following(address, token) as answer:
        stream = events(answer.iter_lines())
        assert [next(stream), next(stream)] == [{"comment": "connected"}, {"comment": "nothing new"}]
        with house.api.desk.writing() as uow:
            tokens.disable(uow.connection, "shop")
        assert all(event == {"comment": "nothing new"} for event in stream)


@pytest.mark.usefixtures("quick")
def test_a_stream_ends_when_the_token_is_rotated(house: HouseWithApi) -> None:
    token = house.token("/shop", Scope.ORDERS_READ)
    with house.served() as address, following(address, token) as answer:
        stream = events(answer.iter_lines())
        assert next(stream) == {"comment": "connected"}
        with house.api.desk.writing() as uow:
            tokens.rotate(uow.connection, "shop")
        assert all(event == {"comment": "nothing new"} for event in stream)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("limit", ["STREAMS", "ALL_STREAMS"])
def test_so_many_may_follow_at_once_and_no_more(
    house: HouseWithApi, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(activity, limit, 2)
    token, other = (house.token(source, Scope.ORDERS_READ) for source in ("/shop", "/panel"))
    following_now = house.api.server._app.state.news.following
    with house.served() as address:
        with following(address, token) as one, following(address, token) as two:
            streams = [events(answer.iter_lines()) for answer in (one, two)]
            assert [next(stream) for stream in streams] == [{"comment": "connected"}] * 2
            with following(address, token) as refused:
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
            with following(address, other) as answer:
                assert answer.status_code == (200 if limit == "STREAMS" else 429)
        until(lambda: not following_now.total(), PATIENCE)
        with following(address, token) as answer:
            assert answer.status_code == 200


def test_what_colleagues_note_is_not_for_producers(house: HouseWithApi) -> None:
    producer, operator = (house.caller(f"/{scope}", scope) for scope in (Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE))
    producer.post("/v1/orders", json=ORDER)
    house.settle()
    desk = house.api.desk
    with desk.writing() as uow:
        desk.note(uow.connection, Line("k", desk.now(), "order.noted", order_id="order-1", detail="he is rude"))
    assert "he is rude" in operator.get("/v1/activity").text
    seen = producer.get("/v1/activity")
    assert "order.accepted" in seen.text
    assert "he is rude" not in seen.text
    with house.api.desk.reading() as connection:
        news = listing.news(connection, 0, "/orders:write", 100)
    assert {entry.order_id for entry in news} == {"order-1"}
    assert "order.noted" not in {entry.kind for entry in news}


def test_a_hundred_who_follow_keep_nobody_from_being_answered_and_end_with_the_service(house: HouseWithApi) -> None:
    token = house.token("/shop", Scope.ORDERS_READ)
    streams = []
    with httpx2.Client(limits=httpx2.Limits(max_connections=None), timeout=PATIENCE) as web:
        with house.served() as address:
            bearer = {"Authorization": f"Bearer {token}"}
            for _ in range(100):
                request = web.build_request("GET", f"{address}/v1/events", headers=bearer)
                streams.append(web.send(request, stream=True))
            assert web.get(f"{address}/v1/orders", headers=bearer).status_code == 200
        for stream in streams:
            assert stream.read().startswith(b": connected")
            stream.close()


def test_numbers_beyond_the_last_line_mean_from_now_on(house: HouseWithApi) -> None:
    token = house.token("/shop", Scope.ORDERS_WRITE)
    with house.served() as address, following(address, token, **{"Last-Event-ID": "999999"}) as answer:
        stream = events(answer.iter_lines())
        next(stream)
        client(house, token).post("/v1/orders", json=ORDER)
        house.settle()
        assert of_kind(stream, "account.created")["data"]["order_id"] == "order-1"
