"""A console with something on every page, served over HTTP, with services behind it that are at work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from foundation.clock import utc_now
from foundation.errors import Failed
from schemas.mails import MailPreview
from schemas.orders import OrderCancel
from schemas.services import ServerStatus, ServiceHeartbeat
from schemas.values import CauseKind
from services.api.access import staff, tokens
from services.api.access.identity import Identity, Role, Scope
from services.api.console.visitor import line
from services.api.webhooks import actions
from tests.services.api.console.conftest import PASSWORD, Console, HouseWithApi
from tests.support.house import PATIENCE

PEOPLE = {"eve": Role.ADMIN, "ann": Role.VIEWER}


@contextmanager
def served(directory: Path, **settings: Any) -> Iterator[tuple[Console, str]]:
    """Serve a console on a free port until the end; yields its URL, too. `eve` and `ann` may sign in."""
    api = {"address": "127.0.0.1:0", "secret_key": "a long random text of a test"}
    house = HouseWithApi(directory, api=api, **settings)
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


MARKUP = """'"><img src=/x onerror=ran('img')><script>ran('script')</script>"""


def furnish(console: Console, markup: str = "") -> None:
    """Have installs in every state, a failed account, a failed email, parked messages, a token, a webhook, and a
    process that is lost. `markup` goes into every text that somebody else may choose."""
    house = console.house

    def order(number: int, **changes: Any) -> None:
        customer = {"name": f"Jo Miller{markup}", "email": f"jo{number}@customer.example"}
        named = {"blog_name": f"Bakery & Sons{markup}", "customer": customer, "source": f"/shop{markup}"}
        house.order(number, **{**named, **changes})
        house.settle()

    def fault(code: str) -> Failed:
        return Failed.because(code, CauseKind.PERMANENT, f"{code} on purpose{markup}", f"mend {code}{markup}")

    for number in (1001, 1002, 1003):
        house.installer.failures.append(fault("db_down"))
        order(number)
    house.advance(400)
    house.tick()
    house.server.failures.append(fault("domain_taken"))
    order(1004)
    for number in (1005, 1006):
        order(number)
    house.smtp.failures.append(fault("mailbox_unknown"))
    house.advance(400)
    house.tick()
    for number in (1007, 1008):
        order(number, domain=f"a-rather-long-domain-name-that-does-not-end{number}.shop.example")
    house.publish(
        OrderCancel(order_id="order-1008", reason=f"ordered twice{markup}"), authtype="user", authid=f"eve{markup}"
    )
    for number in (1009, 1010):
        order(number, site_type="unknown")
    console.settle()
    with console.desk.writing() as uow:
        scopes = [Scope.ORDERS_READ, Scope.ORDERS_WRITE]
        tokens.create(uow.connection, f"billing{markup}", f"/billing{markup}", scopes, "eve", uow.now)
        console.desk.note(
            uow.connection, line(console.desk, "order.noted", "eve", f"=called{markup}", order_id="order-1005")
        )
    admin = Identity("eve", "user", Role.ADMIN)
    url = f"https://hooks.example/in?{markup.replace(' ', '/')}"
    hook, _ = actions.create(console.desk, admin, url, [], f"/shop{markup}")
    actions.send_test(console.desk, admin, hook.id)
    house.publish(MailPreview(install_id="order-1006-g1"))
    told = ServiceHeartbeat(
        service="installer",
        instance=f"web1/4711{markup}",
        version="0.1.0",
        started_at=house.clock.now(),
        queues=("installer.staged", "installer.due", "installer.now"),
        servers=(ServerStatus(name="local", state="open", since=house.clock.now(), cause=fault("db_down").cause),),
    )
    house.publish(told)
    console.settle()
    house.clock.moment = utc_now()
    house.publish(told.model_copy(update={"instance": "web2/812", "next_tick": utc_now() + timedelta(minutes=3)}))
    house.publish(told.model_copy(update={"service": "mailer", "instance": "web2/813", "queues": ("mailer.installs",)}))
    console.settle()
    console.service.look_for_alerts()
