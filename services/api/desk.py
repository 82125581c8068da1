"""What everything in this service works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from foundation.broker import Broker
from foundation.clock import Now
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.store import Store
from schemas.envelope import Event
from schemas.values import Model
from services.api import asking
from services.api.access.identity import Identity
from services.api.asking import Asked
from services.api.finding.figures import Figures
from services.api.projection.activity import Line, write
from services.api.projection.projector import Projector

_BLINK = 2.0
"""Seconds that a lost connection may take to come back before the broker counts as away. Most take less than one."""
_AWAY = "the broker does not answer the api; it is tried again all the time"


class NoRows:
    """The rows of a service that decides nothing: what it asks others to do, they decide."""

    def flush(self, connection: Connection) -> None:
        """Write nothing."""

    def sequence(self, data: Model) -> None:
        """Return no version: nothing that is asked tells of a row."""


def load(_connection: Connection, _orders: object, _events: object) -> NoRows:
    return NoRows()


@dataclass(frozen=True)
class Desk:
    """The parts of one api process."""

    settings: Settings
    database: Database[NoRows]
    broker: Broker
    projector: Projector
    figures: Figures

    @property
    def store(self) -> Store:
        return self.database.store

    @property
    def now(self) -> Now:
        return self.database.now

    @property
    def broker_is_away(self) -> bool:
        """Whether the broker is away: what is asked is stored, and nobody hears of it before it is back."""
        return self.broker.lost_for() >= _BLINK

    def require_broker(self) -> None:
        """Raises BrokerUnreachable if the broker is away, rather than try to connect for a quarter of a minute."""
        if self.broker_is_away:
            raise BrokerUnreachable(_AWAY)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read a consistent state. Raises StoreUnreachable."""
        with self.store.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[UnitOfWork[NoRows]]:
        """Change tables and ask for things in one transaction. Raises StoreUnreachable."""
        with self.database.begin() as uow:
            yield uow

    def ask(self, data: Model, who: Identity) -> Event[Any]:
        """Publish a command on behalf of somebody; return the event, by whose id its outcome can be found."""
        with self.writing() as uow:
            return asking.ask(uow, data, who)

    def ask_once(self, data: Model, who: Identity, id: str, source: str = "") -> tuple[Asked, bool]:
        """Publish a command, or an order as `source`, unless something was asked under this id before. Return what was
        asked, and whether it was now."""
        try:
            return self._ask_once(data, who, id, source)
        except IntegrityError:  # another request was faster
            return self._ask_once(data, who, id, source)

    def _ask_once(self, data: Model, who: Identity, id: str, source: str) -> tuple[Asked, bool]:
        with self.writing() as uow:
            known = Asked.find(uow.connection, source or uow.source, id)
            if known:
                return known, False
            event = asking.ask(uow, data, who, id=id, source=source)
            return next(one for one in Asked.named(uow.connection, id) if one.source == event.source), True

    def note(self, connection: Connection, line: Line) -> None:
        """Write a line of what was done here, and not by an event, into the activity log."""
        write(connection, [line])

    def wait_for_news(self, seconds: float) -> None:
        """Wait until something was projected, or so many seconds. Another replica may be the one that projects."""
        with self.projector.moved:
            self.projector.moved.wait(seconds)
