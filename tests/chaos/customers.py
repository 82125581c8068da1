"""Those who order, cancel and re-install; and who listen to what becomes of it, as a producer does."""

from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic
from typing import Any, Self

from foundation.broker import Confirmation, Delivery, Message, codec
from foundation.broker.codec import Malformed
from foundation.broker.topology import EVENTS
from foundation.errors import SitecrewError
from foundation.handling.unit_of_work import new_id
from schemas import catalogue
from schemas.installs import InstallProgress, InstallRetry
from schemas.orders import OrderCancelled, OrderPlaced, OrderReinstallRequested
from schemas.services import ServiceHeartbeat
from schemas.values import Customer, Model
from sitecrew.cli.client.sending import message
from tests.chaos.fault import Options
from tests.chaos.schedule import Wish
from tests.chaos.system import System

SOURCE = "/chaos"
_PATIENCE = 10.0
"""Seconds after which an order that nobody answered is sent again, under the same id."""
_ANSWERS = ("order.accepted", "order.known", "order.rejected", "account.created", "order.withdrawn")


def order_id(number: int) -> str:
    return f"order-{number}"


def placed(number: int, options: Options) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id(number),
        site_type=options.site,
        domain=f"shop{number}.example",
        customer=Customer(name="Jo Miller", email=f"jo{number}@customer.example"),
    )


def packed(data: Model, id: str | None = None) -> Message:
    """As a producer publishes it."""
    subject = getattr(data, "order_id", None)
    return message(codec.envelope(data, id=id or new_id(), source=SOURCE, subject=subject, time=datetime.now(UTC)))


class Customers:
    """Send what is wished for, again and again until the broker has it; and orders until somebody answers."""

    def __init__(self, system: System) -> None:
        self._system, self._options = system, system.options
        self._to_send: deque[Message] = deque()
        self._unanswered: dict[str, tuple[Message, float]] = {}
        self._answered: set[str] = set()
        self.placed = 0
        self._stop = Event()
        self._threads = [Thread(target=run, name="customers", daemon=True) for run in (self._send, self._listen)]

    @property
    def unanswered(self) -> int:
        return len(self._to_send) + len(self._unanswered)

    def ask(self, wish: Wish) -> None:
        """Have one wish published soon."""
        order = order_id(wish.order)
        match wish.what:
            case "place":
                sent = packed(placed(wish.order, self._options))
                self.placed += 1
                if order not in self._answered:
                    self._unanswered[order] = sent, monotonic()
            case "place again":
                sent = packed(placed(wish.order, self._options))
            case "cancel":
                sent = packed(OrderCancelled(order_id=order, reason="changed my mind"))
            case "reinstall":
                sent = packed(OrderReinstallRequested(order_id=order))
            case _:
                sent = packed(InstallRetry(install_id=f"{order}-g1"))
        self._to_send.append(sent)

    def command(self, data: Model) -> None:
        """Have a command of the staff published soon."""
        self._to_send.append(packed(data))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        publisher = self._system.broker.publisher()
        while not self._stop.wait(0.2):
            now = monotonic()
            for order, (sent, since) in list(self._unanswered.items()):
                if now - since > _PATIENCE:
                    self._unanswered[order] = sent, now
                    self._to_send.append(sent)
            if batch := [self._to_send.popleft() for _ in range(len(self._to_send))]:
                outcomes: list[Confirmation] = []
                with suppress(SitecrewError):
                    outcomes = publisher.publish(batch, 5)
                outcomes += [Confirmation.UNKNOWN] * (len(batch) - len(outcomes))
                refused = [one for one, outcome in zip(batch, outcomes, strict=True) if outcome != "confirmed"]
                self._to_send.extendleft(reversed(refused))
        publisher.close()

    def _listen(self) -> None:
        watcher: Any = None
        while not self._stop.is_set():
            try:
                watcher = watcher or self._system.broker.watch(EVENTS, "#")
                for delivery in watcher.take(100, 0.2):
                    self._take(delivery)
            except SitecrewError:
                self._stop.wait(0.5)
        if watcher:
            watcher.close()

    def _take(self, delivery: Delivery) -> None:
        with suppress(Malformed):
            event = codec.decode(delivery.body)
            if isinstance(event.data, InstallProgress | ServiceHeartbeat):
                return
            self._system.heard.append(delivery)
            entry = catalogue.by_model(type(event.data))
            if event.subject and entry.routing_key.startswith(_ANSWERS):
                self._answered.add(event.subject)
                self._unanswered.pop(event.subject, None)
