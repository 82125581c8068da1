"""Staff before the console of a real stack: RabbitMQ, all services as processes, a web server and a mailbox."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx2

from foundation.config.queues import INSTALLER_DUE
from foundation.config.settings import Settings, load
from foundation.store import Store
from schemas.installs import TimerPause, TimerResume
from schemas.values import Model
from services.api.access import staff
from services.api.access.identity import Role
from sitecrew.stack.machine import Plan
from tests.console.browser import Browser, Page
from tests.support.receiver import status
from tests.support.watching import Watched, watched

PASSWORD = "correct horse battery"
PEOPLE = {"eve": Role.ADMIN, "oli": Role.OPERATOR, "sue": Role.SUPPORT, "vic": Role.VIEWER}
SETTINGS = {
    "timer.every": "* * * * * *",
    "installer.max_attempts": 1,
    "installer.concurrency": 8,
}
"""A batch each second, and nothing is tried again by itself: what fails needs somebody."""


@dataclass
class Crew:
    """A stack, and a browser for everybody."""

    house: Watched
    settings: Settings
    browser: Browser

    @classmethod
    @contextmanager
    def at_work(cls, plan: Plan, browser: Browser) -> Iterator[Self]:
        with watched(plan) as house:
            crew = cls(house, load(house.running.config, environment=False), browser)
            store = Store(crew.settings.api.store_url.get_secret_value())
            with store.transaction() as connection:
                for name, role in PEOPLE.items():
                    staff.create(connection, name, role, PASSWORD, datetime.now(UTC))
            store.close()
            yield crew

    @contextmanager
    def page(self, name: str, **options: Any) -> Iterator[Page]:
        """Somebody signs in, in a browser of their own."""
        with self.browser.page(f"http://{self.settings.api.address}", **options) as page:
            page.signs_in(name, PASSWORD)
            yield page

    def orders(self, count: int = 1) -> list[str]:
        """Place orders for static sites; return their ids, which are the names of their domains, too."""
        return [self.house.order("static") for _ in range(count)]

    def order(self) -> str:
        [order] = self.orders()
        return order

    @contextmanager
    def web_server_down(self) -> Iterator[Callable[[], None]]:
        """Have something else answer in the web server's place; yields what mends that, at the latest at the end."""
        web = self.house.running.servers["the web server"]
        web.stop()
        other = ThreadingHTTPServer(("127.0.0.1", self.house.running.ports.web), _Maintenance)
        thread = threading.Thread(target=other.serve_forever, args=(0.02,))
        thread.start()
        mended = threading.Event()

        def mend() -> None:
            if not mended.is_set():
                other.shutdown()
                thread.join()
                other.server_close()
                web.start()
                mended.set()

        try:
            yield mend
        finally:
            mend()

    @contextmanager
    def timer_paused(self) -> Iterator[None]:
        """Begin no batch until the end."""
        self.answered(TimerPause(), "timer.paused")
        self.batch_over()
        try:
            yield
        finally:
            self.answered(TimerResume(), "timer.resumed")

    def answered(self, command: Model, what: str) -> None:
        """Give a command, and wait for its answer."""

        def heard() -> int:
            return sum(event.type == f"sitecrew.{what}.v1" for event in self.house.events)

        before = heard()
        self.house.publish(command)
        self.house.eventually(lambda: heard() > before, what=what)

    def due(self, count: int) -> None:
        """Wait until so many installs wait for a batch."""
        self.house.eventually(lambda: self.house.broker.depth(INSTALLER_DUE) == count, what=f"{count} due")

    def batch_over(self) -> None:
        """Wait until no batch works that was at work when the timer was paused."""
        now = self.ticks()
        self.house.eventually(lambda: self.ticks() > now, what="another tick")

    def ticks(self) -> float:
        """Return which tick the installer waits for, as Unix time."""
        text = httpx2.get(f"http://{self.settings.installer.listen}/metrics").text
        [tick] = re.findall(r"^sitecrew_next_tick_timestamp_seconds (\S+)$", text, re.MULTILINE)
        return float(tick)


class _Maintenance(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status(503, b"Down for maintenance")(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
