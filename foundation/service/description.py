"""Answer the command `service.describe` with the event `service.described`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from foundation.clock import utc_now
from foundation.handling.outcomes import Done, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.store.lease import this_process
from foundation.version import version
from schemas.envelope import Event
from schemas.services import ServiceDescribe, ServiceDescribed


def _nothing(_uow: UnitOfWork) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Description:
    """Describes one replica. `facts` returns further fields of the answer; it is called for each answer."""

    service: str
    facts: Callable[[UnitOfWork], Mapping[str, Any]] = _nothing
    started_at: datetime = field(default_factory=utc_now)

    def answer(self, uow: UnitOfWork, event: Event[ServiceDescribe]) -> Outcome:
        """Handle the command."""
        described = ServiceDescribed(
            service=self.service,
            instance=this_process(),
            version=version(),
            started_at=self.started_at,
            **self.facts(uow),
        )
        uow.emit(described, None, event)
        return Done()
