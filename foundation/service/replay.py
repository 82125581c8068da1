"""Answer the command `service.replay`: tell of every row again, on the exchange `replays`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

import structlog

from foundation.handling.outcomes import Done, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.store.records import Records
from foundation.telemetry.tracing import Trace
from schemas.envelope import Event
from schemas.services import ServiceReplay, ServiceReplayed
from schemas.values import Model

PAGE = 500
"""How many rows are told of in one transaction."""

_log = structlog.get_logger(__name__)


class Told(NamedTuple):
    """An event that tells of a row, and when the row came to be so, if it knows."""

    data: Model
    at: datetime | None = None


class Row(Protocol):
    """What a row that can be told of has."""

    @property
    def order_id(self) -> str: ...

    @property
    def trace(self) -> Trace: ...

    @property
    def version(self) -> str: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Replay(Generic[R]):
    """Replays a service's rows. `tell` yields the events that together tell a row's state."""

    service: str
    queue: str
    """Where the service hears commands: each page sends itself the command for the next, so that a restart loses
    nothing."""
    records: Records[R]
    tell: Callable[[R], Iterable[Told]]

    def answer(self, uow: UnitOfWork, event: Event[ServiceReplay]) -> Outcome:
        """Handle the command: tell of one page of rows, in the order of their keys."""
        asked, command = event.data, event.data.command_id or event.id
        page = self.records.page(uow.connection, asked.after, PAGE)
        for row in page:
            for told in self.tell(row):
                uow.replay(told.data, row.order_id, row.trace, row.version, told.at)
        rows = asked.rows + len(page)
        if len(page) == PAGE:
            rest = ServiceReplay(after=self.records.key_of(page[-1]), command_id=command, rows=rows)
            uow.redeliver(rest, self.queue, None, event)
        else:
            uow.emit(ServiceReplayed(service=self.service, command_id=command, rows=rows), None, event)
            _log.info("replay.finished", number=rows)
        return Done()
