"""Ask the api over HTTP, like a browser or a program, and measure how long it takes."""

import http.client
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode

from bench.filling import ACTORS, SERVERS, Filling
from foundation.errors import SitecrewError
from services.api.finding.paging import Position

PASSWORD = secrets.token_urlsafe()
_WARM = 3
"""Requests of each kind that are not counted."""

Path = Callable[[random.Random], str]
"""Draws what to ask for."""


@dataclass
class Client:
    """Keeps one connection, and the cookie or token of who asks."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def sign_in(self, name: str) -> None:
        """Sign in to the console. Raises SitecrewError."""
        form = urlencode({"name": name, "password": PASSWORD})
        self._connection.request("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 303:
            raise SitecrewError(f"cannot sign in: {answer.status}")
        self.headers["Cookie"] = (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def get(self, path: str) -> tuple[float, bytes]:
        """Return the seconds until the whole answer was there, and the answer. Raises SitecrewError."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self.headers)
        answer = self._connection.getresponse()
        body = answer.read()
        taken = time.perf_counter() - began
        if answer.status not in (200, 303):
            raise SitecrewError(f"{path}: {answer.status} {body[:500]!r}")
        return taken, body

    def timed(self, path: Path, requests: int) -> list[float]:
        """Return the milliseconds of each of so many requests, one after the other."""
        self.close()  # the server has perhaps done so meanwhile
        chance = random.Random(1)
        return [1000 * self.get(path(chance))[0] for _ in range(_WARM + requests)][_WARM:]

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()


def pages(filled: Filling) -> Mapping[str, Path]:
    """Return what staff look at."""

    def one(chance: random.Random) -> int:
        return chance.randrange(filled.orders)

    def searched(chance: random.Random, page: str, *texts: Callable[[int], str | None]) -> str:
        return f"{page}?state=all&search={quote(chance.choice(texts)(one(chance)) or '')}"

    order, name = filled.order, filled.name
    return {
        "start page": lambda _: "/",
        "installs": lambda _: "/installs",
        "installs, a tab": lambda c: f"/installs?state={c.choice(('staged', 'failed', 'installed', 'all'))}",
        "installs, filtered": lambda c: f"/installs?state=all&site_type=static&server=web{5 * c.randrange(4)}",
        "installs, deep page": lambda c: f"/installs?state=all&after={deep(filled, c, '{}-g1')}",
        "search: order": lambda c: searched(c, "/installs", filled.order_id),
        "search: domain": lambda c: searched(c, "/installs", lambda n: order(n).domain),
        "search: username": lambda c: searched(c, "/installs", lambda n: order(n).username),
        "search: email": lambda c: searched(c, "/installs", lambda n: order(n).customer_email),
        "search: part of domain": lambda c: searched(c, "/installs", lambda n: name(n).partition("-")[2]),
        "search: part of many": lambda c: searched(c, "/installs", lambda n: name(n)[2:7]),
        "search: nothing found": lambda c: f"/installs?state=all&search=nobody{one(c)}",
        "search: of orders": lambda c: searched(c, "/orders", name, lambda n: order(n).customer_email).replace(
            "state=all&", ""
        ),
        "emails": lambda c: f"/letters?state={c.choice(('all', 'failed', 'sent'))}",
        "activity": lambda _: "/activity",
        "activity of an order": lambda c: f"/activity?order={filled.order_id(one(c))}",
        "activity, by actor": lambda c: f"/activity?actor={c.choice((*ACTORS, 'shop', 'nobody'))}",
        "activity, by kind": lambda c: f"/activity?kind={c.choice(('install.failed', 'install.retry', 'mail.sent'))}",
        "activity, actor and kind": lambda c: f"/activity?actor={c.choice(ACTORS)}&kind=mail.resend",
        "activity, some days": lambda c: f"/activity?{_days(filled.at(one(c)))}",
        "activity, deep page": lambda c: f"/activity?after={deep(filled, c, None)}",
        "an order": lambda c: f"/orders/{filled.order_id(one(c))}",
        "an install": lambda c: f"/installs/{filled.order_id(one(c))}-g1",
    }


def listings(filled: Filling) -> Mapping[str, Path]:
    """Return what programs ask for that may see every order."""
    return {
        "/v1/orders": lambda _: "/v1/orders",
        "/v1/orders?state=": lambda _: "/v1/orders?state=failed",
        "/v1/orders?site_type=&server=": lambda c: f"/v1/orders?site_type=static&server=web{5 * c.randrange(4)}",
        "/v1/orders?search=": lambda c: f"/v1/orders?search={filled.name(c.randrange(filled.orders))}",
        "/v1/orders?after= (deep)": lambda c: f"/v1/orders?after={deep(filled, c, '{}')}",
        "/v1/installs?cause=": lambda _: "/v1/installs?cause=db_down,disk_full",
        "/v1/installs?since=": lambda c: f"/v1/installs?sort=oldest&since={_moment(filled, c)}",
        "/v1/installs?limit=500": lambda _: "/v1/installs?limit=500",
        "/v1/activity?kind=": lambda _: "/v1/activity?kind=install.started,mail.sent",
        "/v1/activity?actor=": lambda c: f"/v1/activity?actor={c.choice(ACTORS)}",
        "/v1/orders/{id}": lambda c: f"/v1/orders/{filled.order_id(c.randrange(filled.orders))}",
    }


def producers(_filled: Filling) -> Mapping[str, Path]:
    """Return what a producer asks for, who sees its own orders only."""
    return {
        "/v1/orders": lambda _: "/v1/orders",
        "/v1/orders?state=": lambda _: "/v1/orders?state=failed",
        "/v1/installs?server=": lambda c: f"/v1/installs?server=web{c.randrange(SERVERS)}",
        "/v1/activity": lambda _: "/v1/activity",
    }


def deep(filled: Filling, chance: random.Random, id: str | None) -> str:
    """Return a cursor anywhere in a listing; ids are made of orders' ids, or numbers."""
    number = chance.randrange(filled.orders)
    key = id.format(filled.order_id(number)) if id else 2**62
    return Position(filled.at(number), key).cursor()


def _days(day: datetime) -> str:
    return f"since={day:%Y-%m-%d}&until={day:%Y-%m-%d}"


def _moment(filled: Filling, chance: random.Random) -> str:
    return quote(filled.at(chance.randrange(filled.orders)).isoformat())
