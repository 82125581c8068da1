"""The api works with its own broker user."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING
from foundation.config.queues import API_EVENTS, API_PARKED, INTAKE_ORDERS, MAILER_COMMANDS, with_api
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database
from foundation.service.lanes import Parts
from foundation.service.process import broker_of
from foundation.store import Store
from schemas.installs import TimerRunNow
from schemas.orders import OrderPlaced
from schemas.services import ServiceHeartbeat
from services.api.access.identity import Identity
from services.api.asking import Asked
from services.api.parked import acting
from services.api.parked.messages import ParkedMessage, State
from services.api.service import MIGRATIONS, ApiService, load
from tests.support.api import ORDER
from tests.support.brokers import Node, until
from tests.support.rights import Administered, administered

PATIENCE = 60.0
EVE = Identity("eve", "user")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def place(managed_node: Node) -> Iterator[Administered]:
    made = administered(managed_node)
    with closing(made.api):
        yield made


@pytest.fixture(scope="module")
def owner(place: Administered) -> Iterator[RabbitBroker]:
    with closing(RabbitBroker([place.url("admin")], with_api(Ladder()))) as owner:
        yield owner


@pytest.fixture(scope="module")
def broker(place: Administered) -> Iterator[RabbitBroker]:
    with closing(broker_of(Settings(amqp_url=place.url("api")), "api", with_api)) as broker:
        assert not broker.declare()
        yield broker


@dataclass
class Api:
    """The api, run by hand."""

    service: ApiService
    relay: Relay
    store: Store

    def look(self) -> None:
        for projector, queue in ((self.service.copies, API_PARKED), (self.service.projector, API_EVENTS)):
            consumer = self.service._parts.broker.consumer(queue, 100)
            projector.run_once(consumer, threading.Event(), 1.0)
            consumer.close()

    def state(self, id: str) -> State | None:
        self.look()
        with self.store.reading() as connection:
            found = ParkedMessage.find(connection, PARKING, id)
        return found.state if found else None


@pytest.fixture
def api(broker: RabbitBroker, tmp_path: Path) -> Iterator[Api]:
    store = Store(f"sqlite:///{tmp_path}/api.db")
    store.migrate([MIGRATIONS])
    relay = Relay(store, broker.publisher(), broker.topology, now, declare=broker.declare)
    database = Database(store, "api", now, relay.hand_over, load)
    with closing(store):
        yield Api(ApiService(Settings(), Parts(store, broker, database, now)), relay, store)


def test_it_publishes_orders_and_commands_and_hears_of_them(api: Api, owner: RabbitBroker) -> None:
    desk = api.service.desk
    placed, _ = desk.ask_once(OrderPlaced(**ORDER), EVE, "k1", "/shop")
    command = desk.ask(TimerRunNow(), EVE)
    assert api.relay.run_once(timeout=1) == 2
    depths = {INTAKE_ORDERS: 1, MAILER_COMMANDS: 0}
    assert owner.depths(depths) == depths
    assert desk.broker.depths(depths).items() <= depths.items(), "from RabbitMQ 4.3 on, it sees only what it may use"
    heartbeat = ServiceHeartbeat(
        service="api", instance="a", version="1", started_at=now(), queues=(API_EVENTS,), working_on=()
    )
    event = codec.envelope(heartbeat, id="h1", source="/sitecrew/api", subject=None, time=now())
    message = Message("events", "service.heartbeat.v1", codec.encode(event), event.id, event.type, mandatory=False)
    assert desk.broker.publisher().publish([message]) == ["confirmed"]

    def heard() -> set[str]:
        api.look()
        with desk.reading() as connection:
            return set(connection.exec_driver_sql("SELECT kind FROM activity").scalars())

    until(lambda: heard() >= {"order.placed", "timer.run_now"}, PATIENCE)
    with desk.reading() as connection:
        assert Asked.find(connection, "/shop", placed.id)
        assert Asked.find(connection, command.source, command.id)


def test_it_notices_that_its_queue_is_gone_though_it_may_not_declare_it(
    broker: RabbitBroker, owner: RabbitBroker
) -> None:
    broker.missed.clear()
    with owner._channel() as channel:
        channel.queue_delete(API_EVENTS)
    with pytest.raises(BrokerUnreachable, match=API_EVENTS):
        broker.declare()
    owner.declare()
    assert not broker.declare()
    assert broker.missed == {API_EVENTS}


def test_staff_requeue_and_discard_what_is_parked(api: Api, owner: RabbitBroker) -> None:
    headers: dict[str, Any] = {"parked-from": INTAKE_ORDERS, "parked-at": now().isoformat(), "reason-code": "x"}
    for id in ("p1", "p2"):
        owner.publisher().publish([Message(PARKING, INTAKE_ORDERS, b"{}", id, "t", headers=headers)])
    until(lambda: api.state("p2") == State.OPEN, PATIENCE)
    desk = api.service.desk
    acting.compare(api.store, desk.broker, now)
    assert acting.requeue(desk, PARKING, ["p1"], EVE) == ["p1"]
    assert acting.discard(desk, PARKING, ["p2"], EVE) == ["p2"]
    until(lambda: (api.state("p1"), api.state("p2")) == (State.REQUEUED, State.PURGED), PATIENCE)
