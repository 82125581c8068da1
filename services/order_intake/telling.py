"""What is told of an order: the events that its row makes, for those who follow it and for a replay."""

from collections.abc import Iterator

from foundation.service.replay import Told
from schemas.accounts import AccountCreated, AccountFailed, AccountRetrying
from schemas.orders import OrderAccepted, OrderWithdrawn
from schemas.values import Cause, Model
from services.order_intake.orders import MAX_ATTEMPTS, Order
from services.order_intake.states import OrderState
from services.order_intake.upcoming import after_failure


def tell(order: Order) -> Iterator[Told]:
    """Yield what together tells the order's whole state."""
    yield Told(accepted(order), order.created_at)
    if order.account:
        yield Told(created(order))
    if order.state == OrderState.ACCEPTED and order.cause:
        yield Told(retrying(order), order.updated_at)
    elif order.state in (OrderState.FAILED, OrderState.CANCELLED):
        yield Told(ended(order), order.updated_at)


def accepted(order: Order) -> OrderAccepted:
    """All of it was validated when it came in."""
    return OrderAccepted.model_construct(
        order_id=order.order_id,
        site_type=order.site_type,
        domain=order.domain,
        customer=order.customer,
        server=order.server,
        username=order.username,
        title=order.title,
        placed_at=order.created_at,
        placed_by=order.source,
        due_at=order.due_at,
        priority=order.priority,
    )


def created(order: Order) -> AccountCreated:
    if order.account is None:
        raise ValueError(f"{order.order_id} has no account")
    tried = order.attempt or None
    return AccountCreated(order_id=order.order_id, site_type=order.site_type, account=order.account, attempt=tried)


def retrying(order: Order) -> AccountRetrying:
    return AccountRetrying(
        order_id=order.order_id,
        attempt=order.attempt + (order.lease_owner is None),
        max_attempts=MAX_ATTEMPTS,
        due_at=order.due_at,
        cause=_cause(order),
        username=order.username,
    )


def ended(order: Order) -> Model:
    """Return what tells that the order has failed, or that it was cancelled."""
    return failed(order) if order.state == OrderState.FAILED else withdrawn(order)


def failed(order: Order) -> AccountFailed:
    return AccountFailed(
        order_id=order.order_id,
        cause=_cause(order),
        attempt=order.attempt or None,
        max_attempts=MAX_ATTEMPTS,
        domain_released=not order.holds_domain,
        next=after_failure(order.order_id),
    )


def withdrawn(order: Order) -> OrderWithdrawn:
    return OrderWithdrawn(
        order_id=order.order_id,
        reason=str(order.cancel_reason),
        state=order.state,
        domain_released=not order.holds_domain,
    )


def _cause(order: Order) -> Cause:
    if order.cause is None:
        raise ValueError(f"{order.order_id} is {order.state} without a cause")
    return order.cause
