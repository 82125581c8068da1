"""A console with something on every page, served over HTTP, with services behind it that are at work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from foundation.clock import utc_now
from schemas.services import ServiceHeartbeat
from schemas.values import CauseKind
from services.api.access import staff
from services.api.access.identity import Role
from tests.services.api.console.conftest import PASSWORD, Console, HouseWithApi
from tests.support.house import PATIENCE, failure

PEOPLE = {"eve": Role.ADMIN, "ann": Role.VIEWER}


@contextmanager
def served(directory: Path) -> Iterator[tuple[Console, str]]:
    """Serve a console on a free port until the end; yields its URL, too. `eve` and `ann` may sign in."""
    house = HouseWithApi(directory, api={"address": "127.0.0.1:0"})
    house.clock.moment = utc_now() - timedelta(hours=2)
    console = Console(house)
    with console.desk.writing() as uow:
        for name, role in PEOPLE.items():
            staff.create(uow.connection, name, role, PASSWORD, console.desk.now())
    stop = threading.Event()
    port = console.service.server.listen()
    server = threading.Thread(target=console.service.server.run, args=(stop,))
    server.start()
    try:
        yield console, f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        server.join(PATIENCE)


@contextmanager
def at_work(console: Console) -> Iterator[None]:
    """Run the services, the projection and a living clock."""
    stop, pause = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            console.house.clock.moment = max(console.house.clock.moment, utc_now())
            console.settle()
            pause.wait(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(PATIENCE)


def furnish(console: Console) -> None:
    """Have installs in every state, a failed account, a failed email, and a process that is lost."""
    house = console.house
    for number in (1001, 1002, 1003):
        house.installer.failures.append(failure("db_down", CauseKind.PERMANENT))
        house.order(number)
    house.settle()
    house.advance(400)
    house.tick()
    house.server.failures.append(failure("domain_taken", CauseKind.PERMANENT))
    house.order(1004)
    house.settle()
    for number in (1005, 1006):
        house.order(number, title="Bakery & Sons")
    house.settle()
    house.smtp.failures.append(failure("mailbox_unknown", CauseKind.PERMANENT))
    house.advance(400)
    house.tick()
    house.settle()
    house.order(1007, domain="a-rather-long-domain-name-that-does-not-end.shop.example")
    house.settle()
    told = ServiceHeartbeat(
        service="installer",
        instance="web1/4711",
        version="0.1.0",
        started_at=house.clock.now(),
        queues=("installer.staged", "installer.due", "installer.now"),
    )
    house.publish(told)
    console.settle()
    house.clock.moment = utc_now()
    house.publish(told.model_copy(update={"instance": "web2/812", "next_tick": utc_now() + timedelta(minutes=3)}))
    house.publish(told.model_copy(update={"service": "mailer", "instance": "web2/813", "queues": ("mailer.installs",)}))
    console.settle()
