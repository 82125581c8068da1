"""Reject what producers send: emit `order.rejected` with the field and the remedy, and park the message."""

from typing import Any

import structlog

from foundation.broker.codec import Malformed
from foundation.handling.outcomes import Park
from foundation.handling.unit_of_work import UnitOfWork
from schemas.envelope import Event
from schemas.orders import FieldError, OrderCancelled, OrderPlaced, OrderReinstallRequested, OrderRejected
from services.order_intake.causes import INTAKE_CAUSES

FromProducers = Event[OrderPlaced] | Event[OrderCancelled] | Event[OrderReinstallRequested]

_log = structlog.get_logger(__name__)


def reject(uow: UnitOfWork, event: FromProducers, code: str, *errors: FieldError) -> Park:
    """Reject an event that can be read but not carried out; `errors` name the fields at fault."""
    rejected = OrderRejected(
        order_id=event.data.order_id,
        event_id=event.id,
        event_source=event.source,
        cause=INTAKE_CAUSES.cause(code, "; ".join(f"{error.field} {error.message}" for error in errors)),
        errors=errors,
    )
    _emit(uow, rejected, event)
    return Park(rejected.cause, errors[0].field if errors else "")


def reject_order_id(uow: UnitOfWork, event: FromProducers, code: str, message: str) -> Park:
    """Reject an event for the order that it names."""
    return reject(uow, event, code, FieldError(field="data.order_id", message=message))


def reject_unreadable(uow: UnitOfWork, problem: Malformed) -> None:
    """Emit `order.rejected` for a message that cannot be read; whoever calls this parks the message."""
    data: Any = problem.document.get("data")
    order_id = data.get("order_id") if isinstance(data, dict) else None
    legible = "".join(letter for letter in str(order_id or "") if letter.isprintable())
    rejected = OrderRejected(
        order_id=legible.strip()[:64] or "unknown",
        event_id=str(problem.document.get("id", "unknown"))[:255],
        event_source=str(problem.document.get("source", "unknown"))[:255],
        cause=problem.cause,
        errors=tuple(FieldError(field=field, message=message) for field, message in problem.errors),
    )
    _emit(uow, rejected)


def _emit(uow: UnitOfWork, rejected: OrderRejected, cause: FromProducers | None = None) -> None:
    uow.emit(rejected, rejected.order_id, cause)
    _log.warning("order.rejected", order_id=rejected.order_id, cause=rejected.cause.code)
