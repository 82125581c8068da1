"""What a handler can return: an outcome, or an effect to carry out in the outside world."""

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
    """Handled; a duplicate will change nothing."""

    status: ClassVar = "done"


@dataclass(frozen=True)
class Duplicate(Done):
    """Handled before."""

    status: ClassVar = "duplicate"


@dataclass(frozen=True)
class Rejected(Done):
    """Parked because it is malformed. Not recorded in the inbox, so staff can requeue it."""

    status: ClassVar = "parked"


@dataclass(frozen=True)
class GivenUp(Done):
    """Failed for good, as its row says. Not recorded in the inbox: sent again, it is tried again."""


@dataclass(frozen=True)
class Retry:
    """Deliver the same event again at `at`."""

    at: datetime
    cause: Cause

    status: ClassVar = "retry"


@dataclass(frozen=True)
class Park:
    """Set the event aside for staff. Not recorded in the inbox, so it can be requeued."""

    cause: Cause
    field: str = ""
    """Path of the field at fault, if it is a single one."""

    status: ClassVar = "parked"


Outcome = Done | Retry | Park


@dataclass(frozen=True)
class Effect(Generic[L]):
    """Something to do in the outside world under the lease on a claimed row, and how to record its result.

    `run` is called in a thread, outside any transaction, while the worker renews the lease. Afterwards, in another unit
    of work, the worker calls `succeeded` with what `run` returned, or `failed` with the cause of its failure.
    """

    claim: L
    """The row as it was claimed; `Loaded.held` tells whether the lease is still held."""
    run: Callable[[L], Any]
    succeeded: Callable[[UnitOfWork, L, Event[Any], Any], Outcome]
    failed: Callable[[UnitOfWork, L, Event[Any], Cause], Outcome]
    not_begun: Callable[[UnitOfWork, L, Event[Any]], Outcome] | None = None
    """Gives back the claim if the service stops before `run` has begun. Without it, stopping waits for the effect."""


Handler = Callable[[UnitOfWork, Event[Any]], Outcome | Effect]
"""Decides what to do about one event, from the loaded rows, without SQL."""
Handlers = Mapping[type[Model], Handler]
