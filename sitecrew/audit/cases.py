"""Cases: all that the services' databases say about one order, one order after the other.

Each database is read once, in the order of the orders' ids, and what belongs to one order is brought together, so an
audit keeps one order in memory however many there are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from foundation.store import Store
from services.api.projection.auditing import Seen, seen_installs, seen_letters, seen_orders
from services.installer import auditing as installer
from services.installer.auditing import InstallFacts
from services.mailer import auditing as mailer
from services.mailer.auditing import MailFacts
from services.order_intake import auditing as order_intake
from services.order_intake.auditing import OrderFacts


@dataclass(frozen=True)
class Stores:
    """The services' databases, open."""

    order_intake: Store
    installer: Store
    mailer: Store
    api: Store | None = None
    """None: there is no projection to compare."""


@dataclass
class Case:
    """One order."""

    order_id: str
    orders: list[OrderFacts] = field(default_factory=list)
    installs: list[InstallFacts] = field(default_factory=list)
    mails: list[MailFacts] = field(default_factory=list)
    seen_orders: list[Seen] = field(default_factory=list)
    seen_installs: list[Seen] = field(default_factory=list)
    seen_letters: list[Seen] = field(default_factory=list)
    is_projected: bool = False
    """Whether the projection was read as well."""

    @property
    def order(self) -> OrderFacts | None:
        return next(iter(self.orders), None)

    @property
    def newest(self) -> InstallFacts | None:
        """The install that decides: that of the order's newest generation."""
        order = self.order
        return next((one for one in self.installs if order and one.generation == order.generation), None)

    @property
    def touched_at(self) -> datetime | None:
        """When something last happened to it; None if no service has a row of it."""
        return max((row.touched_at for rows in (self.orders, self.installs, self.mails) for row in rows), default=None)

    def is_replaced(self, install: InstallFacts) -> bool:
        """Whether a newer install has replaced the site."""
        return any(other.generation > install.generation and other.state == "installed" for other in self.installs)


_Read = Callable[[Connection, Sequence[str] | None], Iterator[Any]]

_SOURCES: tuple[tuple[str, str, _Read], ...] = (
    ("order_intake", "orders", order_intake.facts),
    ("installer", "installs", installer.facts),
    ("mailer", "mails", mailer.facts),
    ("api", "seen_orders", seen_orders),
    ("api", "seen_installs", seen_installs),
    ("api", "seen_letters", seen_letters),
)


def cases(stores: Stores, only: Sequence[str] | None = None) -> Iterator[Case]:
    """Yield all orders, or those with these ids, that any database knows of, in the order of their ids. Raises
    StoreUnreachable."""
    with ExitStack() as opened:
        streams = []
        for service, name, read in _SOURCES:
            store: Store | None = getattr(stores, service)
            if store is not None:
                rows = read(opened.enter_context(store.reading()), only)
                streams.append(_named(name, rows))
        for order_id, found in groupby(merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
            case = Case(order_id, is_projected=stores.api is not None)
            for _, name, row in found:
                getattr(case, name).append(row)
            case.installs.sort(key=lambda install: install.generation)
            yield case


def _named(name: str, rows: Iterator[Any]) -> Iterator[tuple[str, str, Any]]:
    return ((row.order_id, name, row) for row in rows)
