"""On which hosting servers no account is created for now: as the installer tells, or because as many are created there
as may. Orders wait for them, and are woken."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Column, String, Table

from foundation.config.queues import INTAKE_ORDERS
from foundation.config.settings import Settings
from foundation.handling.outcomes import Done, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting.causes import busy, failing, paused
from foundation.service.concurrency import Concurrency
from foundation.service.lanes import Periodic
from foundation.store import PydanticJson, Store, Utc, bulk
from foundation.store.records import Records
from foundation.store.types import metadata
from schemas.envelope import Event
from schemas.servers import ServerClosed, ServerOpened
from schemas.services import ServiceDescribe, ServiceDescribed
from schemas.values import Cause
from services.order_intake.orders import ORDERS, OVERDUE, orders
from services.order_intake.rows import OrderRows

_READ = 2.0
"""Seconds between looks at what other replicas have heard."""
_BELIEVED = timedelta(minutes=5)
"""How old news of a server may be for which there are orders, until the installer is asked how it stands."""

server_news = Table(
    "server_news",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("told_at", Utc, nullable=False),
    Column("until", Utc),
    Column("cause", PydanticJson(Cause)),
)


@dataclass(frozen=True, kw_only=True)
class News:
    """What the installer told last of a server."""

    name: str
    told_at: datetime
    until: datetime | None = None
    """When it may be tried; None: once the installer says so."""
    cause: Cause | None = None
    """Why nothing begins there; None if it may."""

    def is_shut(self, now: datetime) -> bool:
        """Whether nothing begins there now."""
        return self.cause is not None and (self.until is None or now < self.until)


NEWS = Records(server_news, News, key="name")


class HostingServers:
    """The servers as this replica knows them."""

    def __init__(self, settings: Settings) -> None:
        self.concurrency = Concurrency(settings, partial(busy, work="accounts are created"), _wake)
        self._news: dict[str, News] = {}
        self._asked_at: datetime | None = None

    def missing(self, uow: UnitOfWork[OrderRows], server: str) -> tuple[Cause, datetime | None] | None:
        """Return why no account may be created on a server now, and until when at most if that is known."""
        news = self._news.get(server)
        self._doubt(uow, news)
        if news and news.cause and news.is_shut(uow.now):
            return news.cause, news.until
        full = self.concurrency.missing(uow, server)
        return (full, None) if full else None

    def opened(self, uow: UnitOfWork[OrderRows], event: Event[ServerOpened]) -> Outcome:
        """Note that nothing begins on a server."""
        told = event.data
        why = (
            paused(told.server, told.until, told.reason)
            if told.state == "paused"
            else failing(told.server, told.failures or 0, told.cause)
        )
        self._may_not_be_used(uow, told.server, why, told.until, event)
        return Done()

    def closed(self, uow: UnitOfWork[OrderRows], event: Event[ServerClosed]) -> Outcome:
        """Note that a server may be used again, and wake the orders that wait for it."""
        self._may_be_used(uow, event.data.server, event)
        return Done()

    def described(self, uow: UnitOfWork[OrderRows], event: Event[ServiceDescribed]) -> Outcome:
        """Note how the servers stand, by the installer's answer: `server.opened` or `server.closed` was lost."""
        for status in event.data.servers or ():
            news = self._news.get(status.name)
            if status.state == "closed":
                if news and news.cause:
                    self._may_be_used(uow, status.name, event)
            elif status.state == "paused":
                why = paused(status.name, status.until, status.reason)
                self._may_not_be_used(uow, status.name, why, status.until, event)
            elif not (news and news.is_shut(uow.now)):
                self._may_not_be_used(uow, status.name, failing(status.name, None, status.cause), status.until, event)
        return Done()

    def rereading(self, store: Store) -> Periodic:
        """Read what was heard of servers, and return the task that does so every few seconds. Raises
        StoreUnreachable."""

        def read() -> None:
            with store.reading() as connection:
                self._news = {it.name: it for it in NEWS.read(connection.execute(NEWS.select()))}

        read()
        return Periodic("read_servers", _READ, read)

    def _doubt(self, uow: UnitOfWork[OrderRows], news: News | None) -> None:
        """Ask the installer how its servers stand if it has been silent of one: a broker may have lost what it said."""
        self._asked_at = self._asked_at or uow.now
        if uow.now - max(news.told_at if news else self._asked_at, self._asked_at) > _BELIEVED:
            self._asked_at = uow.now
            uow.emit(ServiceDescribe(), None)

    def _may_not_be_used(
        self, uow: UnitOfWork[OrderRows], server: str, why: Cause, until: datetime | None, event: Event[Any]
    ) -> None:
        self._note(uow, News(name=server, told_at=event.time or uow.now, until=until, cause=why))

    def _may_be_used(self, uow: UnitOfWork[OrderRows], server: str, event: Event[Any]) -> None:
        if self._note(uow, News(name=server, told_at=event.time or uow.now)):
            self.concurrency.wake(uow, server)

    def _note(self, uow: UnitOfWork[OrderRows], news: News) -> bool:
        """Return whether these are news: older ones may come late."""
        loaded = NEWS.load(uow.connection, [news.name])
        before = loaded.get(news.name)
        if before and before.told_at > news.told_at:
            return False
        loaded.save(news)
        loaded.flush(uow.connection)
        self._news = {**self._news, news.name: news}  # if this is not committed, the next read takes it back
        return True


def _wake(uow: UnitOfWork[OrderRows], server: str, room: int) -> None:
    """Wake so many of the orders that wait for a server, in their turn. Each is decided upon again."""
    waits = (orders.c.server == server, orders.c.waiting_since.is_not(None), orders.c.due_at > uow.now)
    asleep = ORDERS.select().where(*waits).order_by(orders.c.turn_at).limit(room)
    # Rows that another transaction has are being woken by it.
    found = ORDERS.read(uow.connection.execute(asleep.with_for_update(skip_locked=True)))
    if found:
        changed = [(uow.now, uow.now + OVERDUE, it.order_id) for it in found]
        bulk.change(uow.connection, orders, ("due_at", "check_at", "order_id"), changed)
    for order in found:
        uow.redeliver(order.placed(), INTAKE_ORDERS, order.order_id, order.trace)
