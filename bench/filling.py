"""Fill the api's database as years of work would: orders with their installs and letters, and the activity log."""

import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Table

from foundation.store import Store, bulk
from foundation.store.records import Records
from schemas.services import ServiceHeartbeat
from schemas.values import Cause, CauseKind
from services.api.projection import workers
from services.api.projection.activity import Line, activity, key_of
from services.api.projection.numbers import recount
from services.api.projection.steps import steps
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, InstallView, LetterView, OrderView, Versions

SPAN = timedelta(days=300)
"""From the first order to the last."""
SERVERS = 20
ACTORS = ("eve", "tom", "ann", "joe")
PRODUCERS = ("/whmcs", "/shop", "/small")
"""The last of them has placed one order in a thousand."""

_BATCH = 5000
_WORDS: tuple[str, ...] = tuple(
    """
    bakery harbor willow copper garden silver lantern meadow ember orchard river summit cedar velvet marble
    canyon falcon amber juniper quartz saddle thistle walnut breeze cobalt dapple fennel ginger hazel indigo
    """.split()  # noqa: SIM905  # thirty lines otherwise
)
_CAUSES = (
    ("db_down", CauseKind.TRANSIENT, "start the database server"),
    ("docroot_not_empty", CauseKind.CONFLICT, "empty the directory"),
    ("disk_full", CauseKind.CONFIGURATION, "make room on the server"),
    ("recipient_refused", CauseKind.PERMANENT, "correct the address"),
    ("smtp_timeout", CauseKind.TRANSIENT, "look at the mail server"),
)
_STEPS = ("download", "unpack", "database", "configure", "verify")
_LIFE = (
    ("order.placed", ""),
    ("order.accepted", "/sitecrew/order-intake"),
    ("account.created", "/sitecrew/order-intake"),
    ("install.staged", "/sitecrew/order-intake"),
    ("install.started", "/sitecrew/installer"),
    ("install.completed", "/sitecrew/installer"),
    ("mail.sent", "/sitecrew/mailer"),
)
"""The lines of an order that nobody had to look at."""


class Filling:
    """So many orders; everything about one is drawn from its number. The last one changed at `until`."""

    def __init__(self, orders: int, lines: int, until: datetime) -> None:
        self.orders = orders
        self._lines = lines
        self._until = until

    def fill(self, store: Store) -> None:
        """Write it all into a migrated database. Raises StoreUnreachable."""
        numbers = range(self.orders)
        _write(store, ORDERS, map(self.order, numbers))
        _write(store, INSTALLS, map(self.install, numbers))
        _write(store, LETTERS, filter(None, map(self.letter, numbers)))
        _add(store, steps, ("install_id", "attempt", "step", "begun_at", "seconds"), self._steps())
        _add(store, activity, Line._fields, self._log())
        with store.transaction() as connection:
            for service in ("order-intake", "installer", "mailer"):
                told = ServiceHeartbeat(service=service, instance="web1/1", version="0", started_at=self._until)
                workers.note(connection, told, self._until)
            recount(connection)
        if not store.is_sqlite:  # the server does it by itself within a minute
            with closing(store.engine.raw_connection()) as server:
                server.cursor().execute("VACUUM ANALYZE")

    def at(self, number: int) -> datetime:
        """When an order came to its end."""
        return self._until - SPAN * ((self.orders - 1 - number) / self.orders)

    def name(self, number: int) -> str:
        first, second = number * 7 % len(_WORDS), number * 11 % len(_WORDS)
        return f"{_WORDS[first]}-{_WORDS[second]}-{number}"

    def order_id(self, number: int) -> str:
        return f"order-{number:07}"

    def producer(self, number: int) -> str:
        return PRODUCERS[2] if number % 1000 == 7 else PRODUCERS[number % 10 >= 7]

    def state(self, number: int) -> str:
        """Of its install."""
        drawn = number * 7919 % 1000
        if number >= self.orders - 500:
            return "staged" if number % 50 else "installing"
        return "failed" if drawn < 5 else "cancelled" if drawn < 15 else "resolved" if drawn < 17 else "installed"

    def order(self, number: int) -> OrderView:
        failed = number * 6271 % 10_000 < 5
        return OrderView(
            order_id=self.order_id(number),
            site_type=_site_type(number),
            domain=f"{self.name(number)}.example",
            title=f"The shop of {self.name(number)}",
            server=_server(number),
            username=f"{_WORDS[number * 7 % len(_WORDS)][:4]}{number}",
            address=f"203.0.113.{number % SERVERS}",
            customer_name=f"Jo Miller {number}",
            customer_email=f"jo.{number}@{_WORDS[number * 13 % len(_WORDS)]}.example",
            placed_by=self.producer(number),
            placed_at=self.at(number) - timedelta(minutes=10),
            **self._told(number, "failed" if failed else "created", ("placed", "customer", "server", "username")),
        )

    def install(self, number: int) -> InstallView:
        state, order = self.state(number), self.order(number)
        return InstallView(
            install_id=f"{order.order_id}-g1",
            order_id=order.order_id,
            generation=1,
            site_type=order.site_type,
            url=f"http://{order.domain}/",
            title=order.title,
            locale="en_US",
            server=order.server,
            username=order.username,
            domain=order.domain,
            worker=f"web{number % 3}/{number % 7}",
            attempt=1,
            max_attempts=5,
            started_at=self.at(number) - timedelta(seconds=5),
            finished_at=self.at(number),
            seconds=4.2,
            application="WordPress",
            application_version="6.8",
            login_url=f"http://{order.domain}/wp-login.php",
            **self._told(number, state, ("site", "end", "worker")),
        )

    def letter(self, number: int) -> LetterView | None:
        if self.state(number) not in ("installed", "resolved"):
            return None
        drawn = number * 104_729 % 1000
        state = "failed" if drawn < 3 else "suppressed" if drawn < 10 else "sent"
        order = self.order(number)
        return LetterView(
            install_id=f"{order.order_id}-g1",
            order_id=order.order_id,
            generation=1,
            recipient=order.customer_email,
            message_id=f"<{order.order_id}-g1@hosting.example>",
            resends=0,
            sent_at=self.at(number),
            **self._told(number, state, ()),
        )

    def _told(self, number: int, state: str, facets: Iterable[str]) -> dict[str, Any]:
        at = self.at(number)
        version = f"{number % 9:020}.2.{at.isoformat(timespec='microseconds')}"
        told = {
            "state": state,
            "updated_at": at,
            "versions": Versions(facets=dict.fromkeys((*facets, "state"), version)),
        }
        if state == "failed":
            code, kind, remedy = _CAUSES[number // 3 % len(_CAUSES)]
            cause = Cause(code=code, kind=kind, detail=f"{code} on {_server(number)}", remedy=remedy)
            told |= {"cause": cause, "cause_code": code}
        return told

    def _steps(self) -> Iterator[tuple[Any, ...]]:
        for number in range(self.orders):
            for place, step in enumerate(_STEPS):
                yield f"{self.order_id(number)}-g1", 1, step, self.at(number) + timedelta(seconds=place), 0.8

    def _log(self) -> Iterator[Line]:
        """The lines, in their own time: an order's life, and what staff did beside it."""
        each, chance = self._lines // self.orders, random.Random(1)
        for number in range(self.orders):
            order, at = self.order_id(number), self.at(number) - timedelta(minutes=10)
            for place in range(each):
                if place < len(_LIFE):
                    kind, source = _LIFE[place]
                    who = ("service_account", "shop") if place == 0 else (None, None)
                else:
                    kind, source = chance.choice(("install.retry", "mail.resend", "order.noted")), "/sitecrew/api"
                    who = ("user", chance.choices(ACTORS, (60, 30, 9, 1))[0])
                yield Line(
                    key=key_of(source, f"{number}.{place}"),
                    at=at + timedelta(seconds=place),
                    kind=kind,
                    order_id=order,
                    install_id=f"{order}-g1" if kind.startswith("install") else None,
                    actor_type=who[0],
                    actor=who[1],
                    source=source or self.producer(number),
                    detail="attempt: 1 of 5" if kind.startswith("install") else "",
                    trace_id=key_of("trace", order),
                )


def _site_type(number: int) -> str:
    return "static" if number % 5 == 0 else "wordpress"


def _server(number: int) -> str:
    return f"web{number % SERVERS}"


def _write(store: Store, records: Records[Any], rows: Iterable[Any]) -> None:
    _add(store, records.table, records.names, map(records.values, map(vars, rows)))


def _add(store: Store, table: Table, names: tuple[str, ...], rows: Iterable[bulk.Row]) -> None:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        with store.transaction() as connection:
            bulk.add(connection, table, names, batch)
