"""A projection is lost in the middle of many orders, while nothing goes as it should, and rebuilt as it has to be."""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from foundation.broker import Consumer, Delivery
from foundation.config.queues import API_EVENTS
from foundation.service import replay
from schemas.orders import OrderCancelled
from schemas.services import ServiceReplay
from services.api.projection import rebuilding
from services.api.projection.activity import SILENT, activity, key_of
from services.api.projection.views import order_views
from tests.support.api import HouseWithApi
from tests.support.happenings import happenings
from tests.support.projected import rows_of, seen_in

pytestmark = pytest.mark.usefixtures("quiet")

ORDERS, NEW = 120, 30
"""How many there are, and how many of them things happen to: of the older ones, hardly any can still be cancelled."""


class Unruly:
    """A consumer to whom messages come in any order, some late, some of them again, and whose connection is cut: now
    and then after what came was written, and before it was acknowledged."""

    def __init__(self, house: HouseWithApi, chance: random.Random) -> None:
        self._house, self._chance = house, chance
        self._consumer = self._connected()
        self._late: list[Delivery] = []
        self._known: list[Delivery] = []
        self.is_calm = False
        self.cuts = self.repeated = 0

    def _connected(self) -> Consumer:
        return self._house.broker.consumer(API_EVENTS, 50)

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        came = self._late + self._consumer.take(limit, timeout)
        if self.is_calm or not came:
            self._late = []
            return came
        self._chance.shuffle(came)
        late = self._chance.randrange(len(came)) // 2
        self._late, now = came[:late], came[late:]
        again = self._chance.sample(self._known, min(len(self._known), self._chance.randrange(4)))
        self._known = [*self._known[-500:], *now]
        self.repeated += len(again)
        return now + again

    def settle(self, deliveries: list[Delivery]) -> None:
        if not self.is_calm and self._chance.random() < 0.05:
            self.cut()
        else:
            self._consumer.settle(deliveries)

    def cut(self) -> None:
        self._consumer.close()
        self._consumer, self._late = self._connected(), []
        self.cuts += 1


def test_what_a_wiped_broker_has_lost_is_told_again_and_asked_for_once(tmp_path: Path) -> None:
    house = HouseWithApi(tmp_path)
    house.api.close_gap()
    house.order(1)
    house.settle()
    assert house.event_types().count("service.replayed") == 0, "at first there is nothing to be out of date"
    house.order(2)
    super(HouseWithApi, house).settle()
    house.publish(OrderCancelled(order_id="order-1"))
    super(HouseWithApi, house).settle()
    house.wipe()
    assert seen_in(house.api.desk.store) != rows_of(house)
    with capture_logs() as lines:
        for _ in range(2):
            house.api.close_gap()
            house.settle()
    assert seen_in(house.api.desk.store) == rows_of(house)
    assert [line["queue"] for line in lines if line["event"] == "projection.gap"] == ["api.events, api.parked"]
    assert house.event_types().count("service.replayed") == 3


@pytest.mark.parametrize("seed", [1, 2])
def test_rebuilt_in_the_middle_of_many_orders_under_chaos_it_equals_the_services_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(replay, "PAGE", 20)  # so that orders go on between the pages
    chance = random.Random(seed)
    house = HouseWithApi(tmp_path, sites={"wordpress": {"stage": seed % 2 == 0}})
    unruly, store = Unruly(house, chance), house.api.desk.store
    house._heard.close()

    def hear() -> None:
        house.api.projector.run_once(unruly, threading.Event(), timeout=0)  # type: ignore[arg-type]

    for number in range(1, ORDERS + 1):
        house.order(number)
        chance.choice(happenings(house, chance, range(max(1, number - NEW), number + 1)))()
        hear()
        if number == ORDERS // 2:
            with store.transaction() as connection:
                rebuilding.forget(connection, house.clock.now())
            house.publish(ServiceReplay())
            [service.run_once() for service in house.services]
            assert len(seen_in(store)) < len(rows_of(house)), "it begins with nothing"
        if number % (ORDERS // 5) == 0:
            unruly.cut()
    for _ in range(90):
        house.advance(61)
        house.tick()
        house.reconcile()
        hear()
    unruly.is_calm = True
    while house.broker.depth(API_EVENTS) or house.api.projector.run_once(unruly, threading.Event(), timeout=0):  # type: ignore[arg-type]
        hear()

    rows = rows_of(house)
    assert seen_in(store) == rows
    with store.reading() as connection:
        assert set(connection.scalars(select(order_views.c.order_id))) == {f"order-{n}" for n in range(1, ORDERS + 1)}
        lines = Counter(connection.scalars(select(activity.c.key)))
    said = {key_of(event.source, event.id) for event in house.events() if not isinstance(event.data, SILENT)}
    assert not said - lines.keys(), "no line of the activity log is missing"
    states = Counter(str(row["state"]) for row in rows.values())
    assert states.keys() >= {"created", "installed", "sent", "cancelled", "failed"}, states
    assert unruly.cuts > 5
    assert unruly.repeated > 100
