"""What goes wrong in and around the services, at every step of an order's life: nothing is lost, and
nothing is done twice that can be seen."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from foundation.broker import Message, Outcome, Publisher, codec
from foundation.broker.delay import DELIVER, destination
from foundation.broker.topology import INSTALLER_DUE, INSTALLER_NOW, INTAKE_ORDERS, MAILER_INSTALLS
from foundation.errors import StoreUnreachable
from foundation.runtime.settings import Settings
from foundation.store import Store
from schemas.installs import InstallCancel
from schemas.orders import OrderCancelled, OrderReinstallRequested
from schemas.values import CauseKind
from services.installer.installs import State
from tests.house import Gate, House, Killed, Service, failure

PATIENCE = 20.0
AT_ONCE = {"wordpress": {"stage": False}}
EFFECTS = {
    "intake": ("account.created", INTAKE_ORDERS),
    "installing": ("install.completed", INSTALLER_NOW),
    "mailer": ("mail.sent", MAILER_INSTALLS),
}
"""What each service says when its one thing is done, and the queue that it is told by."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites=AT_ONCE)


class Killer:
    """Ends a service's process at a point of its work, once."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.name = name
        self.struck = threading.Event()
        self.event, self.queue = EFFECTS[name]

    @property
    def service(self) -> Service:
        service: Service = getattr(self.house, self.name)
        return service

    def wait_at(self, point: str) -> None:
        {
            "before the effect": lambda: self._at_effect(after=False),
            "after the effect": lambda: self._at_effect(after=True),
            "after the commit": self._after_commit,
            "before the acknowledgement": self._before_acknowledgement,
            "after publishing": self._after_publishing,
        }[point]()

    def _strike(self) -> None:
        self.struck.set()
        raise Killed

    def _at_effect(self, *, after: bool) -> None:
        owner: Any = {"intake": self.house.server, "installing": self.house.installer}.get(self.name)
        owner, effect = (owner or self.house.welcoming), "_deliver"
        if self.name != "mailer":
            effect = {"intake": "create_account", "installing": "install"}[self.name]
        real = getattr(owner, effect)

        def killing(*arguments: Any) -> Any:
            if self.struck.is_set():
                return real(*arguments)
            if after:
                real(*arguments)
            return self._strike()

        vars(owner)[effect] = killing

    def _is_news(self, type: str) -> bool:
        return not self.struck.is_set() and type == f"sitecrew.{self.event}.v1"

    def _after_commit(self) -> None:
        real = self.service.relay.hand_over

        def hand_over(rows: Sequence[Any]) -> None:
            if any(self._is_news(row.type) for row in rows):
                self._strike()
            real(list(rows))

        object.__setattr__(self.service.ledger, "committed", hand_over)

    def _before_acknowledgement(self) -> None:
        (consumer,) = (consumer for worker, consumer in self.service.lanes if worker.queue == self.queue)
        vars(consumer)["settle"] = lambda deliveries: self._strike() if deliveries else None

    def _after_publishing(self) -> None:
        real = self.service.relay._publisher.publish

        def publish(messages: Sequence[Message], timeout: float = 30.0) -> list[Outcome]:
            outcomes = real(messages, timeout)
            if any(self._is_news(message.type) for message in messages):
                self._strike()
            return outcomes

        vars(self.service.relay._publisher)["publish"] = publish


def run_until_killed(house: House, killed: threading.Event) -> None:
    ends = monotonic() + PATIENCE
    while not killed.is_set():
        assert monotonic() < ends, "nobody was killed"
        try:
            for service in house.services:
                service.turn()
        except Killed:
            return


def said_once(house: House, *types: str) -> None:
    """However often an event was published, it is one: its copies have its id."""
    events = house.events()
    for type in types:
        ids = {event.id for event in events if event.type == f"sitecrew.{type}.v1"}
        assert len(ids) == 1, (type, ids)


# 1-4: a process ends


@pytest.mark.parametrize("name", [*EFFECTS])
@pytest.mark.parametrize(
    "point",
    ["before the effect", "after the effect", "after the commit", "before the acknowledgement", "after publishing"],
)
def test_a_service_that_is_killed_takes_up_its_work_where_it_lay(house: House, name: str, point: str) -> None:
    killer = Killer(house, name)
    killer.wait_at(point)
    house.order()
    run_until_killed(house, killer.struck)
    house.restart(killer.service)
    house.until(house.mailed)
    said_once(house, "account.created", "install.completed", "mail.sent")
    assert len(house.server.accounts) == 1
    assert house.server.calls <= 1 + (name == "intake")
    assert len(house.installer.installed) <= 1 + (name == "installing")
    assert len(house.smtp.sent) == 1 + ((name, point) == ("mailer", "after the effect"))
    assert len({letter["Message-ID"] for letter in house.smtp.sent}) == 1
    assert house.parked() == []
