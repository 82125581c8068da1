"""What the projection makes of events, in whatever order and however often they come."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from foundation.store import Store
from schemas.envelope import Event
from services.api.projection.projector import project
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, InstallView, LetterView, OrderView
from services.api.service import MIGRATIONS
from tests.support.house import START, House, failure

Seen = tuple[list[OrderView], list[InstallView], list[LetterView]]


def projected(directory: Path, batches: Sequence[Sequence[Event[Any]]]) -> Seen:
    """Return what the projection has after these batches of events."""
    store = Store(f"sqlite:///{directory}/api.db")
    store.migrate([MIGRATIONS])
    for batch in batches:
        with store.transaction() as connection:
            project(connection, batch, START)
    with store.reading() as connection:
        seen = tuple(records.read(connection.execute(records.select())) for records in (ORDERS, INSTALLS, LETTERS))
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
