"""What happens next with an order, for people: a matter of its state, never of its cause."""

from services.order_intake.states import OrderState


def after_failure(order_id: str) -> str:
    """Of an order whose account has failed."""
    again = f"`sitecrew order retry {order_id}`"
    return f"not retried automatically; once the cause is fixed: {again}"


def what_next(order_id: str, state: OrderState, tries: int) -> str:
    """Of an order that has no install yet; empty if nothing is to come."""
    match state:
        case OrderState.ACCEPTED:
            return f"its account is being created (try {tries}); the install follows automatically"
        case OrderState.FAILED:
            return after_failure(order_id)
        case OrderState.CANCELLED:
            return "nothing: it was cancelled; a new order needs its own id"
        case _:
            return ""
