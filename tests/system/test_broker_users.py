"""Each service, the command and a shop log in to RabbitMQ as users who may do no more than their work takes."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx2
import pika
import pytest
from aiosmtpd.smtp import Envelope
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from foundation.broker import Message, codec
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import COMMANDS, PARKING, PROBE
from foundation.config import queues
from foundation.config.definitions import definitions
from foundation.config.rights import USERS
from foundation.config.settings import Settings, load
from foundation.errors import BrokerUnreachable
from foundation.handling import parking, requeueing
from foundation.handling.unit_of_work import new_id
from foundation.service.process import broker_of
from foundation.store import Store
from schemas import catalogue
from schemas.envelope import Event
from schemas.installs import InstallCancel, TimerPause, TimerResume
from schemas.orders import OrderCancel, OrderPlaced
from schemas.services import ServiceReplay, SiteTypeConfigure
from schemas.values import Model
from services.api.access import tokens
from services.api.access.identity import Scope
from services.installer.states import State
from sitecrew.cli.checks.broker import of_broker
from sitecrew.cli.checks.findings import examine
from sitecrew.stack.machine import SERVICES, Plan
from tests.support.brokers import Node, until
from tests.support.rights import TOPOLOGY, VHOST, Administered, administered
from tests.support.watching import Watched, watched

PATIENCE = 60.0
CUSTOMER = {"name": "Jo Miller", "email": "jo@customer.example"}


@pytest.fixture(scope="module")
def place(managed_node: Node) -> Iterator[Administered]:
    made = administered(managed_node)
    with closing(made.api):
        yield made


def broker(place: Administered, who: str) -> RabbitBroker:
    topology = queues.with_api if who == "api" else queues.sitecrew
    return broker_of(Settings(amqp_url=place.url(who)), who, topology)


# What they may not


def publish(exchange: str, key: str, **properties: str) -> Callable[[BlockingChannel], None]:
    return lambda channel: channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(**properties))


FORBIDDEN: dict[str, Callable[[BlockingChannel], Any]] = {
    "declare a queue": lambda channel: channel.queue_declare("mine"),
    "declare an exchange": lambda channel: channel.exchange_declare("mine"),
    "delete an exchange": lambda channel: channel.exchange_delete("events"),
    "publish in another's name": publish("orders", "order.placed.v1", user_id="guest"),
    "publish to a queue": publish("", "mailer.installs"),
    "replace a binding": lambda channel: channel.queue_bind("intake.orders", "events", "#"),
    "take a binding away": lambda channel: channel.queue_unbind("intake.orders", "orders", "#"),
    "lead the ladder elsewhere": lambda channel: channel.queue_bind("delay.3", "events", "#"),
}
OWN: dict[str, dict[str, Callable[[BlockingChannel], Any]]] = {
    "order-intake": {
        "send commands": publish("commands", "timer.run_now.v1"),
        "place orders": publish("orders", "order.placed.v1"),
        "report an install": publish("events", "install.completed.v1"),
        "report a letter": publish("replays", "mail.sent.v1"),
        "have a letter sent": publish("delay.deliver", "mailer-installs"),
        "have a letter sent later": publish("delay.0", "0.0.1.mailer-installs"),
    },
    "installer": {
        "accept an order": publish("events", "order.accepted.v1"),
        "have a letter sent": publish("delay.deliver", "mailer-installs"),
        "send commands": publish("commands", "mail.resend.v1"),
    },
    "mailer": {
        "report an install": publish("events", "install.completed.v1"),
        "have a site installed": publish("delay.deliver", "installer-now"),
        "place orders": publish("orders", "order.placed.v1"),
    },
    "api": {
        "report an install": publish("events", "install.completed.v1"),
        "park": publish("parking", ""),
        "replay": publish("replays", "order.accepted.v1"),
        "delay": publish("delay.0", "1.installer-due"),
        "hear the events by a queue of its own": lambda channel: channel.queue_bind("api.events", "events", "#"),
    },
    "cli": {
        "report an install": publish("events", "install.completed.v1"),
        "park": publish("parking", ""),
        "take what the api has not read": lambda channel: channel.basic_get("api.events"),
    },
    "shop": {
        "cancel": publish("orders", "order.cancelled.v1"),
        "send commands": publish("commands", "timer.run_now.v1"),
        "report an install": publish("events", "install.completed.v1"),
        "have a site installed": publish("delay.deliver", "installer-now"),
        "park": publish("parking", ""),
    },
}


def read(queue: str) -> Callable[[BlockingChannel], Any]:
    return lambda channel: channel.basic_get(queue)


def purge(queue: str) -> Callable[[BlockingChannel], Any]:
    return lambda channel: channel.queue_purge(queue)


def delete(queue: str) -> Callable[[BlockingChannel], Any]:
    return lambda channel: channel.queue_delete(queue)


@pytest.mark.parametrize("who", OWN)
def test_a_user_may_not(place: Administered, who: str) -> None:
    own = (*USERS[who].consumes, *USERS[who].browses, *([PROBE] if USERS[who].probes else []))
    others = [one.name for one in TOPOLOGY.queues if one.name not in own]
    attempts = {f"read {queue}": read(queue) for queue in others} | {f"purge {queue}": purge(queue) for queue in others}
    attempts |= {f"delete {one.name}": delete(one.name) for one in TOPOLOGY.queues} | FORBIDDEN | OWN[who]
    answers = {}
    with closing(pika.BlockingConnection(pika.URLParameters(place.url(who)))) as connection:
        for name, attempt in attempts.items():
            channel = connection.channel()
            channel.confirm_delivery()
            try:
                attempt(channel)
                answers[name] = "allowed"
            except ChannelClosedByBroker as closed:
                answers[name] = closed.reply_text
    refusals = ("ACCESS_REFUSED", "PRECONDITION_FAILED - user_id property")
    assert {name: answer for name, answer in answers.items() if not answer.startswith(refusals)} == {}


def test_nobody_logs_in_before_there_is_a_password(place: Administered) -> None:
    place.api.post("/definitions", json=definitions(TOPOLOGY, VHOST, {})).raise_for_status()
    try:
        for user in USERS.values():
            own = pika.PlainCredentials(user.name, "")
            port = pika.URLParameters(place.url("admin")).port
            with pytest.raises(ProbableAuthenticationError):
                pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, VHOST, own))
    finally:
        place.restore()


# Who may not declare, looks


@pytest.mark.parametrize("who", SERVICES)
def test_a_service_looks_at_what_is_declared_and_says_what_is_missing(place: Administered, who: str) -> None:
    queue = USERS[who].consumes[0]
    with closing(broker(place, who)) as looking:
        assert not looking.declare()
        place.delete(f"/queues/{VHOST}/{queue}")
        with pytest.raises(BrokerUnreachable) as raised:
            looking.declare()
        place.restore()
        assert not looking.declare()
    assert str(raised.value) == (
        f"queue {queue} missing on the broker, and our user may not declare anything: an administrator must run "
        "`sitecrew topology declare`"
    )


def test_a_consumer_whose_queue_is_gone_says_so_and_goes_on_once_it_is_back(place: Administered) -> None:
    message = Message(COMMANDS, "mail.resend.v1", b"{}", "m1", "t")
    with closing(broker(place, "mailer")) as mailer, closing(broker(place, "cli")) as staff:
        consumer = mailer.consumer(queues.MAILER_COMMANDS, 10)
        assert consumer.take(1, 0.1) == []
        place.delete(f"/queues/{VHOST}/{queues.MAILER_COMMANDS}")
        until(lambda: mailer.disconnected() == [queues.MAILER_COMMANDS], PATIENCE)
        place.restore()
        until(lambda: mailer.disconnected() == [], PATIENCE)
        assert staff.publisher().publish([message]) == ["confirmed"]
        until(lambda: bool(consumer.take(1, 1)), PATIENCE)


def test_doctor_says_that_it_may_only_look(place: Administered) -> None:
    with closing(broker(place, "cli")) as staff:
        checks = {check.name: check for check in of_broker(Settings(amqp_url=place.url("cli")), staff)}
        found = [examine(checks[name], set()) for name in ("topology", "broker alarms", "message size")]
    assert [(one.ok, one.result) for one in found] == [(True, "note")] * 3
    assert "what sitecrew-staff needs is there; its user may not declare" in found[0].detail
    assert "its user may not publish to events" in found[1].detail


# What they may


class Office:
    """What a shop and staff do, as their own users."""

    def __init__(self, place: Administered, crew: Watched) -> None:
        self.shop, self.staff, self.crew = broker(place, "shop"), broker(place, "cli"), crew

    def order(self, order_id: str, site_type: str = "static") -> str:
        fields = {"order_id": order_id, "domain": f"{order_id}.example", "customer": CUSTOMER}
        self.shop_sends(OrderPlaced(site_type=site_type, **fields), order_id)
        return order_id

    def shop_sends(self, data: Model, order_id: str | None = None, body: bytes = b"") -> None:
        self._send(self.shop, data, order_id, body)

    def command(self, data: Model) -> Event[Any]:
        return self._send(self.staff, data)

    def parked(self, code: str) -> parking.Parked:
        def found() -> parking.Parked | None:
            return next((one for one in parking.browse(self.staff, PARKING) if one.code == code), None)

        return self.crew.eventually(found, what=f"{code} in parking")

    def event(self, name: str) -> Event[Any]:
        return self.crew.eventually(
            lambda: next((one for one in self.crew.events if one.type == f"sitecrew.{name}.v1"), None), what=name
        )

    @staticmethod
    def _send(by: RabbitBroker, data: Model, subject: str | None = None, body: bytes = b"") -> Event[Any]:
        entry = catalogue.by_model(type(data))
        event = codec.envelope(data, id=new_id(), source="/shop", subject=subject, time=datetime.now(UTC))
        message = Message(entry.exchange, entry.routing_key, body or codec.encode(event), event.id, event.type)
        assert by.publisher().publish([message]) == ["confirmed"]
        return event

    def close(self) -> None:
        self.shop.close()
        self.staff.close()


@pytest.fixture(scope="module")
def crew(place: Administered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    settings = {
        "timer.every": "*/2 * * * * *",
        "installer.retry_first_seconds": 1,
        "mailer.retry_first_seconds": 1,
        "sites.waiting.installer": "static",
        "sites.waiting.address": "temporary",
        "sites.waiting.settle_seconds": 3600,
    }
    urls = {name: place.url(name) for name in SERVICES}
    directory = tmp_path_factory.mktemp("crew")
    plan = Plan(directory, ("static",), amqp_url=place.url("admin"), broker_urls=urls, settings=settings)
    with watched(plan) as stack:
        yield stack


@pytest.fixture
def office(place: Administered, crew: Watched) -> Iterator[Office]:
    with closing(Office(place, crew)) as office:
        yield office


def test_an_order_becomes_a_site_and_a_letter_though_both_have_to_be_tried_again(office: Office, crew: Watched) -> None:
    web, refused = crew.running.servers["the web server"], list[bool]()

    def once(stage: str, _envelope: Envelope) -> str | None:
        if stage != "stored" or refused:
            return None
        refused.append(True)
        return "451 try again"

    crew.running.mailbox.behave = once
    web.stop()
    order = office.order("tried-again")
    crew.until("install.staged", order, count=2)
    web.start()
    crew.until("mail.waiting", order)
    crew.until("mail.sent", order)
    crew.running.mailbox.behave = None


def test_staff_cancel_pause_switch_and_have_everything_told_again(office: Office, crew: Watched) -> None:
    office.command(TimerPause(reason="a test"))
    office.event("timer.paused")
    order = office.order("cancelled", "waiting")
    crew.until("install.staged", order)
    crew.install(f"{order}-g1")
    office.command(InstallCancel(install_id=f"{order}-g1"))
    crew.until("install.cancelled", order)
    assert crew.install(f"{order}-g1").state == State.CANCELLED
    withdrawn = office.order("withdrawn", "waiting")
    crew.until("install.staged", withdrawn)
    office.command(OrderCancel(order_id=withdrawn))
    crew.until("install.cancelled", withdrawn)
    office.command(TimerResume())
    office.event("timer.resumed")
    office.command(SiteTypeConfigure(site_type="static", stage="off"))
    office.event("site_type.configured")
    at_once = office.order("at-once")
    crew.until("mail.sent", at_once)
    asked = office.command(ServiceReplay())

    def all_told() -> bool:
        answers = [one.data for one in crew.events if one.type == "sitecrew.service.replayed.v1"]
        return {one.service for one in answers if one.command_id == asked.id} == set(SERVICES) - {"api"}

    crew.eventually(all_told, what="the services' replays")


def test_what_is_parked_is_corrected_and_requeued(office: Office, crew: Watched) -> None:
    placed = OrderPlaced(order_id="typo", site_type="static", domain="typo.example", customer=CUSTOMER)
    event = codec.envelope(placed, id=new_id(), source="/shop", subject="typo", time=datetime.now(UTC))
    good = codec.encode(event)
    office.shop_sends(placed, body=good.replace(b"typo.example", b"typo example"))
    found = office.parked("invalid")

    def tell(data: Model, order_id: str | None) -> Event[Any]:
        return codec.envelope(data, id=new_id(), source="/staff", subject=order_id, time=datetime.now(UTC))

    assert requeueing.requeue_edited(office.staff, PARKING, found, good, tell) == "confirmed"
    crew.until("mail.sent", "typo")
    office.event("message.requeued")


def test_all_go_on_after_the_virtual_host_was_deleted_and_lose_nothing(place: Administered, crew: Watched) -> None:
    settings = load(crew.running.config, environment=False)
    store = Store(settings.api.store_url.get_secret_value())
    with closing(store), store.transaction() as connection:
        token = tokens.create(connection, "shop", "/web", [Scope.ORDERS_WRITE], "test", datetime.now(UTC))
    addresses = [getattr(settings, name.replace("-", "_")).listen for name in SERVICES]

    def all_answer(status: int) -> bool:
        return all(httpx2.get(f"http://{address}/readyz").status_code == status for address in addresses)

    place.delete()
    until(lambda: all_answer(503), PATIENCE)
    customer = {"name": "Jo Miller", "email": "kept@customer.example"}
    data = {"order_id": "kept", "site_type": "static", "domain": "kept.example", "customer": customer}
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.post(f"http://{settings.api.address}/v1/orders", json=data, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 202
    place.restore()
    until(lambda: all_answer(200), PATIENCE)
    crew.running.mailbox.wait_for(lambda letters: any(customer["email"] in one.recipients for one in letters), PATIENCE)
