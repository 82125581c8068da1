"""What docs/operate.md promises: the api works with a broker user who may do no more than it says there."""

import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING
from foundation.config.queues import API_EVENTS, API_PARKED, INTAKE_ORDERS, MAILER_COMMANDS, sitecrew, with_api
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database
from foundation.service.lanes import Parts
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

DOCUMENT = Path(__file__).parents[2] / "docs" / "operate.md"
PASSWORD = "of-a-test"
PATIENCE = 60.0
EVE = Identity("eve", "user")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Place:
    """A virtual host, with its owner and the api's user."""

    node: Node
    owner: RabbitBroker
    url: str


@pytest.fixture(scope="module")
def place(managed_node: Node) -> Iterator[Place]:
    managed_node.ctl("await_startup")
    admin = urlsplit(managed_node.amqp_url)
    managed_node.ctl("add_vhost", "sitecrew")
    managed_node.ctl("set_permissions", "-p", "sitecrew", str(admin.username), ".*", ".*", ".*")
    managed_node.ctl("add_user", "sitecrew-api", PASSWORD)
    port = admin.port or 5672
    with closing(RabbitBroker([managed_node.amqp_url.replace("%2F", "sitecrew")], sitecrew(Ladder()))) as owner:
        yield Place(managed_node, owner, f"amqp://sitecrew-api:{PASSWORD}@127.0.0.1:{port}/sitecrew")


@pytest.fixture(scope="module")
def broker(place: Place) -> Iterator[RabbitBroker]:
    """The api's, which may do what the document says; it is the first to come, and waits for the others."""
    lines = re.findall(r"^rabbitmqctl (set_\w+ -p sitecrew sitecrew-api .*)$", DOCUMENT.read_text(), re.MULTILINE)
    permissions, topics = lines
    place.node.ctl(*shlex.split(permissions))
    with closing(RabbitBroker([place.url], with_api(Ladder()))) as broker:
        with pytest.raises(BrokerUnreachable, match="the other services declare it"):
            broker.declare()
        place.owner.declare()
        place.node.ctl(*shlex.split(topics))
        broker.declare()
        broker.declare()
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


def test_it_publishes_orders_and_commands_and_hears_of_them(api: Api, place: Place) -> None:
    desk = api.service.desk
    placed, _ = desk.ask_once(OrderPlaced(**ORDER), EVE, "k1", "/shop")
    command = desk.ask(TimerRunNow(), EVE)
    assert api.relay.run_once(timeout=1) == 2
    depths = {INTAKE_ORDERS: 1, MAILER_COMMANDS: 0}
    assert place.owner.depths(depths) == depths
    assert desk.broker.depths(depths).items() <= depths.items(), "from RabbitMQ 4.3 on, it sees its own queues alone"
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


def test_staff_requeue_and_discard_what_is_parked(api: Api, place: Place) -> None:
    headers: dict[str, Any] = {"parked-from": INTAKE_ORDERS, "parked-at": now().isoformat(), "reason-code": "x"}
    for id in ("p1", "p2"):
        place.owner.publisher().publish([Message(PARKING, INTAKE_ORDERS, b"{}", id, "t", headers=headers)])
    until(lambda: api.state("p2") == State.OPEN, PATIENCE)
    desk = api.service.desk
    acting.compare(api.store, desk.broker, now)
    assert acting.requeue(desk, PARKING, ["p1"], EVE) == ["p1"]
    assert acting.discard(desk, PARKING, ["p2"], EVE) == ["p2"]
    until(lambda: (api.state("p1"), api.state("p2")) == (State.REQUEUED, State.PURGED), PATIENCE)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.exchange_declare("mine"),
        lambda channel: channel.queue_delete("intake.orders"),
        lambda channel: channel.exchange_delete("orders"),
        lambda channel: channel.queue_unbind("intake.orders", "orders", "#"),
        lambda channel: channel.basic_get("intake.orders"),
        lambda channel: channel.basic_get("mailer.installs"),
        lambda channel: channel.queue_purge("installer.due"),
        lambda channel: channel.queue_bind("api.events", "delay.deliver", "#"),
        lambda channel: channel.basic_publish("events", "install.completed.v1", b"{}"),
        lambda channel: channel.basic_publish("events", "mail.sent.v1", b"{}"),
        lambda channel: channel.basic_publish("parking", "", b"{}"),
        lambda channel: channel.basic_publish("replays", "order.accepted.v1", b"{}"),
        lambda channel: channel.basic_publish("", "mailer.installs", b"{}"),
    ],
)
@pytest.mark.usefixtures("broker")
def test_it_may_do_nothing_else(place: Place, attempt: Any) -> None:
    with pika.BlockingConnection(pika.URLParameters(place.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            attempt(channel)


@pytest.mark.usefixtures("broker")
def test_it_speaks_in_no_other_users_name(place: Place) -> None:
    with pika.BlockingConnection(pika.URLParameters(place.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker, match="user_id"):
            channel.basic_publish("orders", "order.placed.v1", b"{}", pika.BasicProperties(user_id="guest"))
