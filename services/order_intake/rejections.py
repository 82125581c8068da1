"""Saying no to an order: what is wrong with it, in which field, and what to do."""

from typing import Any

import structlog

from foundation.broker.codec import Malformed
from foundation.runtime.tx import Tx
from foundation.runtime.worker import Park
from schemas.envelope import Event
from schemas.orders import FieldError, OrderCancelled, OrderPlaced, OrderRejected
from schemas.values import Cause, CauseKind

_REMEDIES = {
    "in_progress": "nothing: it is tried again by itself",
    "order_conflict": "give every order an id of its own; an unchanged order may be sent again",
    "invalid_order": "correct the field at the producer, or configure what it names, then `sitecrew parked requeue`",
    "not_configured": "configure the server and the site type again, then `sitecrew parked requeue`",
    "worker_lost": "look in the log for what ended order intake, mend it, then `sitecrew parked requeue`",
    "order_failed": "see `sitecrew parked list` for why its account failed; requeue the order, then this",
    "order_cancelled": "a cancelled order is not installed any more: place a new one, under an id of its own",
    "already_installed": "remove the site at the hosting server if it is to go; Sitecrew destroys no account",
    "no_such_order": "publish the order first, then `sitecrew parked requeue`",
}

_log = structlog.get_logger(__name__)


def cause(code: str, detail: str) -> Cause:
    """A cause of order intake's own, with its remedy."""
    kind = CauseKind.TRANSIENT if code == "in_progress" else CauseKind.CONFLICT
    remedy = _REMEDIES.get(code, "correct the event at the producer and publish it again")
    return Cause(code=code, kind=kind, detail=detail[:1000], remedy=remedy)


def reject(
    tx: Tx, event: Event[OrderPlaced] | Event[OrderCancelled], code: str, errors: tuple[FieldError, ...]
) -> Park:
    """Refuse what can be read and not be carried out: tell whoever watches, and park it."""
    rejected = OrderRejected(
        order_id=event.data.order_id,
        event_id=event.id,
        event_source=event.source,
        cause=cause(code, "; ".join(f"{error.field} {error.message}" for error in errors)),
        errors=errors,
    )
    _emit(tx, rejected)
    return Park(rejected.cause)


def refuse(tx: Tx, problem: Malformed) -> None:
    """Tell whoever watches that an order could not be read."""
    data: Any = problem.document.get("data")
    order_id = data.get("order_id") if isinstance(data, dict) else None
    legible = "".join(letter for letter in str(order_id or "") if letter.isprintable())
    rejected = OrderRejected(
        order_id=legible[:64] or "unknown",
        event_id=str(problem.document.get("id", "unknown"))[:255],
        event_source=str(problem.document.get("source", "unknown"))[:255],
        cause=cause(problem.code, str(problem)),
        errors=tuple(FieldError(field=field, message=message) for field, message in problem.errors),
    )
    _emit(tx, rejected)


def _emit(tx: Tx, rejected: OrderRejected) -> None:
    tx.emit(rejected, rejected.order_id)
    _log.warning("order.rejected", order_id=rejected.order_id, cause=rejected.cause.code)
