"""What a handler may decide about an event, and what it may have done in the outside world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic

from typing_extensions import TypeVar

from foundation.handling.unit_of_work import UnitOfWork
from schemas.envelope import Event
from schemas.values import Cause, Model

L = TypeVar("L", default=Any)


@dataclass(frozen=True)
class Done:
    """Dealt with; a duplicate will change nothing."""

    status: ClassVar = "done"


@dataclass(frozen=True)
class Duplicate(Done):
    """Dealt with before."""

    status: ClassVar = "duplicate"


@dataclass(frozen=True)
class Rejected(Done):
    """Parked because it can't be read. Staff can requeue it: it is not remembered as dealt with."""

    status: ClassVar = "parked"


@dataclass(frozen=True)
class Retry:
    """Deliver the same event again at a time."""

    at: datetime
    cause: Cause

    status: ClassVar = "retry"


@dataclass(frozen=True)
class Park:
    """Set the event aside for staff. It is not remembered as dealt with, so it can be requeued."""

    cause: Cause
    field: str = ""
    """The path of what is wrong with it, if it is one field."""

    status: ClassVar = "parked"


Outcome = Done | Retry | Park


@dataclass(frozen=True)
class Effect(Generic[L]):
    """Something to do in the outside world, under the lease of a claimed row, and what to write down afterwards.

    `run` is called in a thread, outside any transaction. While it runs the worker renews the lease. Then, in a later
    unit of work, `succeeded` gets what `run` returned, or `failed` the cause for which it did not."""

    claim: L
    """The row as it was claimed; `Loaded.held` tells whether the lease still holds."""
    run: Callable[[L], Any]
    succeeded: Callable[[UnitOfWork, L, Event[Any], Any], Outcome]
    failed: Callable[[UnitOfWork, L, Event[Any], Cause], Outcome]
    not_begun: Callable[[UnitOfWork, L, Event[Any]], Outcome] | None = None
    """Gives the claim back, because the service stops and no thread has taken it. Without it, that is waited for."""


Handler = Callable[[UnitOfWork, Event[Any]], Outcome | Effect]
"""Decides about one event on the rows that are loaded, without SQL."""
Handlers = Mapping[type[Model], Handler]
