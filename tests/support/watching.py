"""A running stack on which a test places orders and watches what becomes of them."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from pydantic import SecretStr

from foundation.broker import Consumer, Delivery, Message, codec
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING
from foundation.config.settings import load
from foundation.handling.unit_of_work import new_id
from foundation.service.process import broker_of
from foundation.store import Store
from schemas import catalogue
from schemas.envelope import Event
from schemas.installs import InstallProgress
from schemas.logs import LogLine
from schemas.orders import OrderPlaced
from schemas.services import ServiceHeartbeat
from schemas.values import Model
from services.installer.installs import INSTALLS, Install
from sitecrew.stack.login import read_credentials, wordpress_login
from sitecrew.stack.machine import SERVICES, Plan, Running, stack
from tests.support.audited import require_private, require_sound_stack
from tests.support.brokers import IMAGE
from tests.support.rights import logins

Found = TypeVar("Found")

_numbers = itertools.count(1)


@dataclass
class Watched:
    """A stack whose events are recorded. `until` looks at all events since the beginning.

    `events` holds each event once, by id, like a consumer's inbox: a service that is killed after the broker
    got a message and before the outbox row is deleted sends the message again. `bodies` holds every message."""

    running: Running
    broker: RabbitBroker
    watcher: Consumer
    store: Store
    events: list[Event[Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def publish(self, data: Model, id: str | None = None) -> Event[Any]:
        entry = catalogue.by_model(type(data))
        event = codec.envelope(data, id=id or new_id(), source="/test", subject=getattr(data, "order_id", None))
        self.send(codec.encode(event), entry.exchange, entry.routing_key)
        return event

    def send(self, body: bytes, exchange: str = "orders", routing_key: str = "order.placed.v1") -> None:
        outcomes = self.broker.publisher().publish([Message(exchange, routing_key, body, new_id())])
        assert outcomes == ["confirmed"]

    def order(self, site_type: str = "wordpress", **changes: Any) -> str:
        """Place a unique order; return its id."""
        number = next(_numbers)
        fields: dict[str, Any] = {
            "order_id": f"{site_type}-{number}",
            "site_type": site_type,
            "domain": f"{site_type}{number}.example",
            "customer": {"name": "Jo Miller", "email": f"jo{number}@customer.example"},
            "blog_name": f"Shop No. {number}",
        }
        placed = OrderPlaced(**{**fields, **changes})
        self.publish(placed)
        return placed.order_id

    def until(self, what: str, order_id: str, count: int = 1, seconds: float = 60) -> Event[Any]:
        """Wait for the `count`th event `what` (such as `mail.sent`) of an order."""
        name = f"sitecrew.{what}.v1"

        def found() -> Event[Any] | None:
            mine = [event for event in self.events if event.type == name and event.subject == order_id]
            return mine[count - 1] if len(mine) >= count else None

        return self.eventually(found, seconds, f"{what} of {order_id}")

    def eventually(self, found: Callable[[], Found | None], seconds: float = 60, what: str = "it") -> Found:
        """Wait until `found` returns something, taking in new events; return it."""
        deadline = monotonic() + seconds
        while not (result := found()):
            assert monotonic() < deadline, f"{what} did not come; seen: {[(e.type, e.subject) for e in self.events]}"
            for delivery in self.watcher.take(100, timeout=0.1):
                self._take(delivery.body)
        return result

    def _take(self, body: bytes) -> None:
        event = codec.decode(body)
        if isinstance(event.data, InstallProgress | ServiceHeartbeat):
            return  # transient: how many there are says nothing
        if body not in self.bodies:
            assert event.id not in {known.id for known in self.events}, f"two events have the id {event.id}"
            self.events.append(event)
        self.bodies.append(body)

    def install(self, install_id: str) -> Install:
        """Wait for the install's row."""

        def found() -> Install | None:
            with self.store.reading() as connection:
                return INSTALLS.get(connection, install_id)

        return self.eventually(found, what=install_id)

    def letters(self, order_id: str) -> list[Path]:
        address = next(
            e.data.recipient for e in self.events if e.subject == order_id and e.type.startswith("sitecrew.mail")
        )
        return [letter.path for letter in self.running.mailbox.messages() if address in letter.recipients]

    def logs_in(self, order_id: str, number: int = -1) -> bool:
        completed = self.until("install.completed", order_id).data
        credentials = read_credentials(self.letters(order_id)[number])
        return wordpress_login(completed.login.login_url, completed.site.url, credentials)

    def parked(self) -> list[Delivery]:
        return self.broker.browse(PARKING, 1000)


@contextmanager
def watched(plan: Plan) -> Iterator[Watched]:
    """Bring up a stack, supervised as by `sitecrew up`, and watch it. In the container lane its services log in to the
    broker as users of their own. At the end, everything in it has to fit together;
    all log lines of its services are checked against the contract."""
    if IMAGE and plan.amqp_url and not plan.broker_urls:
        plan = replace(plan, broker_urls={name: logins(plan.amqp_url)[name] for name in SERVICES})
    stop = Flag()
    lines: list[str] = []
    with stack(plan, ignore_news, lambda _name, line: lines.append(line)) as running:
        admin = SecretStr(running.logins.urls["admin"])
        settings = load(running.config).model_copy(update={"amqp_url": admin})
        broker = broker_of(settings, "test")
        guard = Thread(target=running.supervise, args=(stop, ignore_news))
        guard.start()
        try:
            store = Store(settings.installer.store_url.get_secret_value())
            yield Watched(running, broker, broker.watch("events", "#"), store, lines=lines)
            require_sound_stack(settings, broker)
            require_private(running.plan.directory)
        finally:
            stop.set()
            guard.join()
            broker.close()
            store.close()
    require_contract(lines)


def require_contract(lines: Iterable[str], services: Iterable[str] = SERVICES) -> None:
    """Check each line of these services against `schemas.logs`. Raises ValidationError."""
    checked = [LogLine.model_validate_json(line) for line in lines]
    assert {line.service for line in checked} == set(services)


def ignore_news(_news: str) -> None:
    """Return what a stack prints for people."""
