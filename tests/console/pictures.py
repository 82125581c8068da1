"""Take the pictures of docs/console.md from the real console, with invented customers: see `script/screenshots`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foundation.clock import utc_now
from foundation.errors import Failed
from schemas.installs import InstallProgress
from schemas.orders import OrderReinstall
from schemas.services import ServiceHeartbeat
from services.api.console.visitor import line
from services.installer.sites.causes import failed
from services.mailer.causes import MAIL_CAUSES
from tests.console.browser import PHONE, WIDE, Browser, Page, chromium, running
from tests.console.stage import served
from tests.services.api.console.conftest import PASSWORD, Console
from tests.support.house import close_houses

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "console"
_SHOPS = (
    ("Lindner Bakery", "lindner-bakery.example", "Maria Lindner"),
    ("North Coast Diving", "northcoast-diving.example", "Tom Okafor"),
    ("Paper & Ink", "paper-and-ink.example", "Ada Novak"),
    ("Green Thumb Gardens", "greenthumb.example", "Priya Shah"),
    ("Velo Workshop", "velo-workshop.example", "Luc Martin"),
    ("Harbour Yoga", "harbour-yoga.example", "Ingrid Berg"),
    ("Chess Club West", "chessclub-west.example", "Samuel Weiss"),
    ("Old Mill Guesthouse", "oldmill.example", "Rosa Delgado"),
    ("Blue Door Pottery", "bluedoor-pottery.example", "Hanna Kim"),
    ("Corner Books", "cornerbooks.example", "Noor Haddad"),
    ("Sunny Side Catering", "sunnyside.example", "Ben Carter"),
    ("Riverside Dental", "riverside-dental.example", "Dr Eva Roth"),
)
_STEPS = {"preflight": 0.1, "stage": 2.4, "config": 0.2, "database": 0.3, "install": 4.8, "render": 1.6, "verify": 0.4}
_QUEUES = {
    "order-intake": ("intake.orders", "intake.commands"),
    "installer": ("installer.staged", "installer.due", "installer.now"),
    "mailer": ("mailer.installs", "mailer.commands"),
}


def furnish(console: Console) -> None:
    """A morning at a web host: sites that were installed, a database server that went down, a letter that was
    refused, a mistyped order, and three installs that wait."""
    house = console.house
    house.clock.moment = utc_now() - timedelta(hours=3)

    def order(number: int, **changes: str) -> str:
        title, domain, name = _SHOPS[number]
        id = f"shop-{1042 + number}"
        customer = {"name": name, "email": f"{name.split()[-1].lower()}@customer.example"}
        fields: dict[str, Any] = {
            "order_id": id,
            "blog_name": title,
            "domain": domain,
            "customer": customer,
            "source": "/billing",
        }
        house.order(number, **{**fields, **changes})
        house.settle()
        return id

    def batch(minutes: float = 5) -> None:
        house.advance(minutes * 60)
        house.tick()
        house.advance(20)
        console.settle()

    def steps(install_id: str, attempt: int, *names: str) -> None:
        named = {"install_id": install_id, "order_id": install_id[:-3], "generation": int(install_id[-1])}
        for name in names:
            for seconds in (None, _STEPS[name]):
                house.publish(InstallProgress(**named, attempt=attempt, step=name, seconds=seconds))

    for number in range(3):
        steps(f"{order(number)}-g1", 1, *_STEPS)
    batch()
    house.publish(OrderReinstall(order_id="shop-1042"), source="/sitecrew/api", authtype="user", authid="oli")
    steps("shop-1042-g2", 1, *_STEPS)
    house.settle()
    batch()
    house.smtp.failures.append(MAIL_CAUSES.failed("recipient_refused", "550 5.1.1 shah@customer.example: no such user"))
    order(3)
    batch()
    down = failed("db_down", "connect: 2002: Can't connect to server through socket '/run/mysqld/mysqld.sock'")
    waiting = [order(number) for number in range(4, 8)]
    for attempt in (1, 2):
        house.installer.failures += [Failed(down.cause) for _ in waiting]
        for id in waiting:
            steps(f"{id}-g1", attempt, "preflight", "stage", "config")
        batch(30 * attempt)
    order(8, site_type="wordpres")
    for number in range(9, 12):
        order(number)
    console.settle()
    with console.desk.writing() as uow:
        text = "Customer phoned: told her that the database server is being looked at."
        console.desk.note(uow.connection, line(console.desk, "order.noted", "sue", text, order_id="shop-1047"))
    heartbeats(console)


def heartbeats(console: Console) -> None:
    """All processes are alive now."""
    console.house.clock.moment = utc_now()
    for service, host in (("order-intake", "web1"), ("installer", "web1"), ("installer", "web2"), ("mailer", "web1")):
        told = ServiceHeartbeat(
            service=service,
            instance=f"{host}/{811 + len(service)}",
            version="0.1.0",
            started_at=utc_now() - timedelta(hours=9),
            queues=_QUEUES[service],
            next_tick=utc_now() + timedelta(minutes=3, seconds=20) if service == "installer" else None,
        )
        console.house.publish(told)
    console.settle()


def opened(path: str) -> Callable[[Page], None]:
    return lambda page: page.opens(path)


def asked(page: Page) -> None:
    """The page before several installs are retried."""
    page.opens("/")
    page.clicks("Retry all")


PICTURES: dict[str, tuple[Callable[[Page], None], int, int]] = {
    "start": (opened("/"), WIDE, 800),
    "installs": (opened("/installs"), WIDE, 800),
    "install": (opened("/installs/shop-1047-g1"), WIDE, 800),
    "confirm": (asked, WIDE, 520),
    "order": (opened("/orders/shop-1042"), WIDE, 800),
    "activity": (opened("/activity"), WIDE, 800),
    "settings": (opened("/settings"), WIDE, 620),
    "phone": (opened("/installs"), PHONE, 800),
}
"""What each picture shows, and how wide and high it is in pixels."""


def take(browser: Browser, folder: Path) -> Sequence[Path]:
    """Take all pictures; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with TemporaryDirectory() as directory, served(Path(directory), installer={"max_attempts": 2}) as (console, url):
        furnish(console)
        with browser.page(url, axe=False, locale="en-GB", timezoneId="UTC") as page:
            page.signs_in("eve", PASSWORD)
            for name, (visit, width, height) in PICTURES.items():
                page.do(["setViewportSize", {"width": width, "height": height}])
                visit(page)
                taken.append(folder / f"{name}.png")
                page.do(["screenshot", {"path": str(taken[-1])}])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to put them (%(default)s)")
    with running(chromium()) as browser:
        for path in take(browser, parser.parse_args().folder):
            sys.stdout.write(f"{path}\n")
    close_houses()


if __name__ == "__main__":
    main()
