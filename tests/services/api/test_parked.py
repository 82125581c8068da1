"""Parked messages in the projection: copied as they come, closed by whoever acts, compared with the queue."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from foundation.broker import Message, codec
from foundation.broker.codec import Malformed
from foundation.broker.delay import Ladder
from foundation.broker.topology import COMMANDS, PARKING, UNROUTED
from foundation.config.queues import API_EVENTS, API_PARKED, INTAKE_ORDERS, with_api
from foundation.config.settings import Settings
from foundation.errors import NotFound, Refused
from foundation.handling.unit_of_work import Database
from foundation.service.lanes import Parts
from foundation.store import Store
from foundation.testing.memory import MemoryBroker
from schemas.orders import OrderPlaced
from schemas.services import SiteTypeConfigure
from services.api.access.identity import Identity
from services.api.desk import load
from services.api.parked import acting
from services.api.parked.messages import ParkedMessage, State
from services.api.service import MIGRATIONS, ApiService
from tests.support.house import START

EVE = Identity("eve", "user")
NOW = START + timedelta(hours=1)


class Api:
    """The api on a broker in memory."""

    def __init__(self, directory: Path) -> None:
        self.broker = MemoryBroker(with_api(Ladder()), lambda: NOW)
        self.store = Store(f"sqlite:///{directory}/api.db")
        self.store.migrate([MIGRATIONS])
        self.broker.declare()
        database = Database(self.store, "api", lambda: NOW, lambda *_: None, load)
        self.service = ApiService(Settings(), Parts(self.store, self.broker, database, lambda: NOW))
        self.desk = self.service.desk

    def look(self) -> None:
        """Project what has come."""
        for projector, queue in ((self.service.copies, API_PARKED), (self.service.projector, API_EVENTS)):
            consumer = self.broker.consumer(queue, 500)
            while projector.run_once(consumer, threading.Event(), 0):
                pass
            consumer.close()

    def park(self, id: str, body: bytes = b"{}", **headers: str) -> None:
        ours = {"parked-from": INTAKE_ORDERS, "parked-at": START.isoformat(), "reason-code": "db_down", **headers}
        self.broker.publisher().publish(
            [Message(PARKING, INTAKE_ORDERS, body, id, "sitecrew.order.placed.v1", headers=ours)]
        )

    def shown(self, id: str, queue: str = PARKING) -> ParkedMessage:
        self.look()
        with self.store.reading() as connection:
            found = ParkedMessage.find(connection, queue, id)
        assert found is not None
        return found


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    yield api
    api.store.close()


def order() -> bytes:
    customer = {"name": "Jo", "email": "jo@customer.example"}
    data = OrderPlaced(order_id="o1", site_type="static", domain="a.example", customer=customer)
    return codec.encode(codec.envelope(data, id="e1", source="/shop", subject="o1", time=START))


def test_a_parked_message_is_shown_with_its_reason_and_without_its_secrets(api: Api) -> None:
    secrets = {"password": "canary", "sealed_password": "canary", "smtp": {"token": "canary"}}
    api.park("p1", orjson.dumps({"order_id": "o1", **secrets}), reason="no server", remedy="start it", field="data.x")
    shown = api.shown("p1")
    assert (shown.state, shown.code, shown.parked_from, shown.order_id) == (State.OPEN, "db_down", INTAKE_ORDERS, "o1")
    assert (shown.reason, shown.remedy, shown.field, shown.parked_at) == ("no server", "start it", "data.x", START)
    assert "canary" not in repr(shown)
    assert shown.can_go_back


def test_what_no_queue_took_is_shown_in_a_list_of_its_own(api: Api) -> None:
    api.broker.publisher().publish(
        [Message(COMMANDS, "no.such.command", b"?", "u1", headers={"parked-from": "forged"})]
    )
    shown = api.shown("u1", UNROUTED)
    assert (shown.parked_from, shown.can_go_back) == ("", False)


def test_it_is_shown_as_requeued_when_staff_have_put_it_back(api: Api) -> None:
    api.park("p1", order(), **{"original-message-id": "e1"})
    api.park("p2")
    api.look()
    assert acting.requeue(api.desk, PARKING, ["p1", "gone"], EVE) == ["p1"]
    assert api.shown("p1").state == State.REQUEUED
    assert api.shown("p2").state == State.OPEN
    api.broker.expire()
    assert api.broker.depth(INTAKE_ORDERS) == 1
    api.look()
    with api.store.reading() as connection:
        assert [waiting.id for waiting in ParkedMessage.waiting(connection, 10)] == ["p2"]


def test_it_is_shown_as_purged_when_staff_have_discarded_it(api: Api) -> None:
    api.park("p1")
    assert acting.discard(api.desk, PARKING, ["p1"], EVE) == ["p1"]
    assert acting.discard(api.desk, PARKING, ["p1"], EVE) == []
    assert api.shown("p1").state == State.PURGED


def test_it_goes_back_corrected_and_stays_if_it_is_wrong_still(api: Api) -> None:
    api.park("p1", b"not json")
    with pytest.raises(Malformed):
        acting.correct(api.desk, PARKING, "p1", b"{}", EVE)
    assert api.shown("p1").state == State.OPEN
    assert acting.body(api.desk, PARKING, "p1") == b"not json"
    acting.correct(api.desk, PARKING, "p1", order(), EVE)
    assert api.shown("p1").state == State.REQUEUED
    with pytest.raises(NotFound):
        acting.body(api.desk, PARKING, "p1")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"source": "/other"}, "source"),
        ({"authid": "ann"}, "authid"),
        ({"type": "sitecrew.order.cancelled.v1", "data": {"order_id": "o1"}}, "type"),
    ],
)
def test_a_correction_says_nothing_in_another_name(api: Api, given: dict[str, object], field: str) -> None:
    was = orjson.loads(order())
    api.park("p1", orjson.dumps({**was, "data": {**was["data"], "domain": "?"}}))
    with pytest.raises(Refused, match=f"^{field} must"):
        acting.correct(api.desk, PARKING, "p1", orjson.dumps({**was, **given}), EVE)
    assert api.shown("p1").state == State.OPEN
    acting.correct(api.desk, PARKING, "p1", orjson.dumps({**was, "authid": "eve"}), EVE)
    assert api.shown("p1").state == State.REQUEUED


@pytest.mark.parametrize("was", [b"not json", b"[]", b"{}", orjson.dumps({"type": "sitecrew.site_type.configur.v1"})])
def test_an_operator_asks_for_nothing_by_a_correction_that_only_an_admin_may(api: Api, was: bytes) -> None:
    api.park("p1", was)
    command = SiteTypeConfigure(site_type="wordpress", stage="off")
    forged = codec.encode(codec.envelope(command, id="e1", source="/sitecrew/cli", subject=None))
    with pytest.raises(Refused, match="page Settings"):
        acting.correct(api.desk, PARKING, "p1", forged, EVE)


def test_a_look_into_the_queue_finds_what_was_missed(api: Api) -> None:
    api.park("missed")
    api.broker.remove(API_PARKED, ["missed"])
    api.park("gone")
    api.look()
    api.broker.remove(PARKING, ["gone"])
    acting.compare(api.store, api.broker, lambda: NOW)
    assert (api.shown("missed").state, api.shown("gone").state) == (State.OPEN, State.PURGED)


def test_a_body_that_no_database_takes_is_shown_without_what_it_does_not_take(api: Api) -> None:
    api.park("p1", b"a\0b", field="x" * 1000)
    assert (api.shown("p1").body, len(api.shown("p1").field)) == ("ab", 200)
