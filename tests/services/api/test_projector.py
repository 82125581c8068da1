"""What the projection makes of events, in whatever order and however often they come."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.config.queues import API_EVENTS, with_api
from foundation.store import Store
from foundation.telemetry.health import Heartbeats
from foundation.testing.memory import MemoryBroker
from schemas import catalogue
from schemas.envelope import Event
from schemas.installs import InstallStaged
from schemas.services import ServiceReplay
from services.api.projection.numbers import counts
from services.api.projection.projector import Projector, project
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, RECORDS, InstallView, LetterView, OrderView
from services.api.service import MIGRATIONS
from tests.support.full_house import a_full_house
from tests.support.house import START, House, failure
from tests.support.projected import Facts, rows_of, seen_in

Seen = tuple[list[OrderView], list[InstallView], list[LetterView]]


def projection(directory: Path, batches: Sequence[Sequence[Event[Any]]]) -> Store:
    """Return a projection of these batches of events."""
    store = Store(f"sqlite:///{directory}/api.db")
    store.migrate([MIGRATIONS])
    for batch in batches:
        with store.transaction() as connection:
            project(connection, batch, START)
    return store


def projected(directory: Path, batches: Sequence[Sequence[Event[Any]]]) -> Seen:
    """Return what the projection has after these batches."""
    store = projection(directory, batches)
    with store.reading() as connection:
        seen = tuple(records.read(connection.execute(records.select())) for records in (ORDERS, INSTALLS, LETTERS))
        kept = counts(connection)
    assert kept == {of: Counter(one.state for one in views) for of, views in zip(RECORDS, seen, strict=True)}
    store.close()
    return seen  # type: ignore[return-value]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def told(house: House) -> list[Event[Any]]:
    """What the services said of an order whose install failed once, was installed, and was installed again."""
    house.installer.failures = [failure("db_down")]
    house.order()
    house.advance_until(house.mailed)
    return house.events()


def test_the_projection_is_the_same_in_whatever_order_and_however_often_events_come(
    told: list[Event[Any]], tmp_path: Path
) -> None:
    once = projected(tmp_path / "once", [told])
    for seed in range(5):
        drawn = Random(seed)
        mixed = [*told, *drawn.choices(told, k=len(told))]
        drawn.shuffle(mixed)
        assert projected(tmp_path / str(seed), [[event] for event in mixed]) == once


def test_an_order_is_shown_with_its_site_and_its_letter(told: list[Event[Any]], tmp_path: Path) -> None:
    orders, installs, letters = projected(tmp_path, [told])
    assert [(order.state, order.username is not None) for order in orders] == [("created", True)]
    assert [(install.state, install.attempt, install.cause) for install in installs] == [("installed", 2, None)]
    assert installs[0].finished_at is not None
    assert installs[0].finished_at >= START + timedelta(seconds=60)
    assert [(letter.state, letter.recipient) for letter in letters] == [("sent", "jo1@customer.example")]


def test_it_says_how_far_behind_it_is_while_more_events_wait(
    told: list[Event[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.projection.projector._AT_A_TIME", 1)
    broker, store = MemoryBroker(with_api(Ladder()), lambda: START), Store(f"sqlite:///{tmp_path}/api.db")
    store.migrate([MIGRATIONS])
    broker.declare()
    now = START + timedelta(hours=1)
    projector = Projector(API_EVENTS, store, broker, lambda: now, Heartbeats())
    events = [event for event in told if event.type == "sitecrew.install.staged.v1"]
    entry = catalogue.by_model(InstallStaged)
    for event in events:
        broker.publisher().publish([Message(entry.exchange, entry.routing_key, codec.encode(event), event.id)])
    consumer = broker.consumer(API_EVENTS, 1)
    for event in events:
        assert projector.run_once(consumer, threading.Event(), 0) == 1
        assert event.time is not None
        assert projector.behind() == (now - event.time).total_seconds()
    assert projector.waiting() == {API_EVENTS: 0}
    assert projector.run_once(consumer, threading.Event(), 0) == 0
    assert projector.behind() == 0
    store.close()


def seen_after(directory: Path, batches: Sequence[Sequence[Event[Any]]]) -> Facts:
    """What people see in the projection after these batches."""
    store = projection(directory, batches)
    try:
        return seen_in(store)
    finally:
        store.close()


def test_the_projection_shows_what_the_services_rows_say(tmp_path: Path) -> None:
    house = a_full_house(tmp_path)
    events = house.events()
    rows = rows_of(house)
    assert {str(row["state"]) for row in rows.values()} >= {"accepted", "created", "failed", "cancelled", "resolved"}
    assert seen_after(tmp_path / "live", [events]) == rows
    Random(7).shuffle(events)
    assert seen_after(tmp_path / "shuffled", [[event] for event in events]) == rows


def test_a_projection_that_was_lost_is_the_same_after_a_replay(tmp_path: Path) -> None:
    house = a_full_house(tmp_path)
    rows = rows_of(house)
    lately = house.events()[-20:]
    watching = house.broker.watch("replays", "#")
    house.publish(ServiceReplay())
    house.settle()
    told = [codec.decode(delivery.body) for delivery in watching.take(10_000, 0)]
    assert seen_after(tmp_path / "replayed", [told]) == rows
    mixed = [*lately, *told, *lately]
    Random(7).shuffle(mixed)
    assert seen_after(tmp_path / "beside the live ones", [[event] for event in mixed]) == rows
