"""The audit of the projection: what the API and the console show is what the services' rows say."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from foundation.config.queues import API_EVENTS
from foundation.store import Store
from services.api.projection import lag
from services.api.service import MIGRATIONS
from sitecrew.audit import Audit, Stores
from tests.support.api import HouseWithApi

pytestmark = pytest.mark.usefixtures("quiet")

on_each_store = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseWithApi]:
    """One whose projection is on SQLite; or on PostgreSQL for tests that ask for it."""
    store = None
    if getattr(request, "param", "sqlite") == "postgresql":
        store = Store(request.getfixturevalue("postgres").database("de"))
        store.migrate([MIGRATIONS])
    house = HouseWithApi(tmp_path, store)
    house.order(1)
    house.settle()
    house.tick()
    house.order(2)
    house.settle()
    yield house
    if store:
        store.close()


def change(house: HouseWithApi, statement: str) -> None:
    house.unfinished = "the projection is changed on purpose"
    with house.api._parts.store.transaction() as connection:
        connection.execute(text(statement))


def audit_of(house: HouseWithApi, **terms: float) -> Audit:
    stores = Stores(house.intake.store, house.installing.store, house.mailer.store, house.api._parts.store)
    return Audit(stores, house.clock.now, grace=timedelta(seconds=terms.get("grace", 0)), pause=0)


@on_each_store
def test_what_was_projected_agrees(house: HouseWithApi) -> None:
    audit = audit_of(house)
    assert list(audit.run()) == []
    assert audit.checked == {"orders": 2, "installs": 2, "mails": 1}
    assert audit.notes == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM order_views WHERE order_id = 'order-1'", "view_missing order-1"),
        ("DELETE FROM install_views WHERE order_id = 'order-2'", "view_missing order-2-g1"),
        ("DELETE FROM letter_views", "view_missing order-1-g1"),
        ("UPDATE order_views SET state = 'accepted' WHERE order_id = 'order-1'", "view_outdated order-1"),
        ("UPDATE install_views SET state = 'failed' WHERE order_id = 'order-1'", "view_outdated order-1-g1"),
        ("UPDATE letter_views SET state = 'waiting'", "view_outdated order-1-g1"),
        ("UPDATE install_views SET order_id = 'order-0', install_id = 'order-0-g1' WHERE order_id = 'order-2'", None),
    ],
)
def test_what_is_shown_otherwise_is_named(house: HouseWithApi, statement: str, expected: str | None) -> None:
    change(house, statement)
    found = [f"{one.code} {one.subject}" for one in audit_of(house).run()]
    assert found == ([expected] if expected else ["view_of_nothing order-0-g1", "view_missing order-2-g1"])


@on_each_store
def test_what_happened_since_the_projection_is_behind_is_not_compared(house: HouseWithApi) -> None:
    change(house, "UPDATE install_views SET state = 'failed'")
    with house.api._parts.store.transaction() as connection:
        lag.note(connection, API_EVENTS, house.clock.now())
    audit = audit_of(house)
    assert list(audit.run()) == []
    assert audit.notes == [
        "the projection is behind: what happened after 2026-01-01T12:00:00Z was not compared with it"
    ]
    with house.api._parts.store.transaction() as connection:
        lag.note(connection, API_EVENTS, house.clock.now() + timedelta(seconds=1))
    assert {one.code for one in audit_of(house).run()} == {"view_outdated"}
