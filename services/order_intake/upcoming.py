"""What happens next with an order, for people: a matter of its state, never of its cause."""

from schemas.values import Cause
from services.order_intake.states import OrderState


def after_failure(order_id: str) -> str:
    """Of an order whose account has failed."""
    again = f"`sitecrew order retry {order_id}`"
    return f"not retried automatically; once the cause is fixed: {again}"


_OF_SERVER = frozenset({"server_busy", "server_failing", "server_paused"})
"""Causes for which an order waits for its server."""


def what_next(order_id: str, state: OrderState, tries: int, cause: Cause | None) -> str:
    """Of an order that has no install yet; empty if nothing is to come."""
    match state:
        case OrderState.ACCEPTED if cause and cause.code in _OF_SERVER:
            return "it waits for its server; then its account is created, and the install follows, automatically"
        case OrderState.ACCEPTED:
            return f"its account is being created (try {tries}); the install follows automatically"
        case OrderState.FAILED:
            return after_failure(order_id)
        case OrderState.CANCELLED:
            return "nothing: it was cancelled; a new order needs its own id"
        case _:
            return ""
