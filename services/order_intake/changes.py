"""Handlers of re-installs, cancels and corrections of an existing order, from its producer or from staff."""

from datetime import timedelta
from typing import Any

import structlog

from foundation.config.queues import INTAKE_ORDERS
from foundation.handling.commands import refuse_command
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Park, Retry
from foundation.handling.unit_of_work import UnitOfWork
from schemas.envelope import Event
from schemas.orders import (
    OrderAmend,
    OrderAmended,
    OrderCancel,
    OrderCancelled,
    OrderReinstall,
    OrderReinstallRequested,
    OrderRetry,
)
from schemas.values import Cause, Customer
from services.order_intake import limits, telling
from services.order_intake.causes import INTAKE_CAUSES
from services.order_intake.names import Names
from services.order_intake.orders import Order
from services.order_intake.rejections import reject_order_id
from services.order_intake.releasing import Releasing
from services.order_intake.rows import OrderRows
from services.order_intake.staging import Staging
from services.order_intake.states import OrderState

_PAUSE = timedelta(seconds=10)
_FRESH = timedelta(minutes=10)
"""How long an event may wait for one that should have come before it."""

_log = structlog.get_logger(__name__)


class Changes:
    """The handlers. A producer may only change its own orders, within limits; staff may change any."""

    def __init__(self, staging: Staging, releasing: Releasing, names: Names, reinstalls_per_hour: int) -> None:
        self._staging = staging
        self._releasing = releasing
        self._names = names
        self._per_hour = reinstalls_per_hour

    def by_producers(self) -> Handlers:
        return {OrderReinstallRequested: self.reinstall, OrderCancelled: self.cancel}

    def by_staff(self) -> Handlers:
        return {
            OrderCancel: self.cancel_order,
            OrderReinstall: self.reinstall_order,
            OrderRetry: self.retry_order,
            OrderAmend: self.amend,
        }

    # Producers'

    def reinstall(self, uow: UnitOfWork[OrderRows], event: Event[OrderReinstallRequested]) -> Outcome:
        """Stage the order's next generation."""
        order = uow.rows.orders.get(event.data.order_id)
        if order is None:
            return _wait_for_order(uow, event)
        if not order.is_of(event.source, uow.sender):
            return reject_order_id(uow, event, "not_yours", "is not this sender's order")
        if order.state == OrderState.ACCEPTED:
            being_created = INTAKE_CAUSES.cause(
                "in_progress", "the order's account is being created, or is waiting its turn"
            )
            return Retry(max(uow.now + _PAUSE, order.free_at), being_created)
        if obstacle := self._obstacle(order):
            return Park(obstacle)
        counted = limits.reinstall(order, self._per_hour, uow.now)
        if counted is None:
            had = f"has reached its limit of {self._per_hour} re-installs an hour"
            return reject_order_id(uow, event, "too_many_reinstalls", had)
        self._staging.again(uow, counted, event.data.blog_name, event)
        return Done()

    def cancel(self, uow: UnitOfWork[OrderRows], event: Event[OrderCancelled]) -> Outcome | Effect:
        """Cancel an order that has no site yet. Sent by order intake to itself, it means: release the domain."""
        order = uow.rows.orders.get(event.data.order_id)
        if order is None:
            return _wait_for_order(uow, event)
        if uow.sender.is_ourselves and event.source == uow.source:
            return self._releasing.give_back(uow, order)
        if not order.is_of(event.source, uow.sender):
            return reject_order_id(uow, event, "not_yours", "is not this sender's order")
        if order.is_installed:
            return reject_order_id(
                uow, event, "already_installed", "is already installed, so there is nothing to cancel"
            )
        if order.state == OrderState.CANCELLED:
            _tell_withdrawn(uow, order, event)
        else:
            self._withdraw(uow, order, event.data.reason or "the order was cancelled", event)
        return Done()

    # Staff's

    def reinstall_order(self, uow: UnitOfWork[OrderRows], event: Event[OrderReinstall]) -> Outcome:
        """Stage any order's next generation, without a limit."""
        order = uow.rows.orders.get(event.data.order_id)
        if order is None:
            return _refuse_unknown(uow, event)
        if order.state == OrderState.ACCEPTED:
            return _refuse(uow, event, "its account is being created", "try again once the account exists")
        if obstacle := self._obstacle(order):
            return _refuse(uow, event, obstacle.detail, obstacle.remedy)
        self._staging.again(uow, order, event.data.blog_name, event)
        return Done()

    def cancel_order(self, uow: UnitOfWork[OrderRows], event: Event[OrderCancel]) -> Outcome:
        """Cancel any order that has no site yet. If it is cancelled already, say so again."""
        order = uow.rows.orders.get(event.data.order_id)
        if order is None:
            return _refuse_unknown(uow, event)
        if order.is_installed:
            installed = INTAKE_CAUSES["already_installed"].remedy
            return _refuse(uow, event, "it is already installed, so there is nothing to cancel", installed)
        if order.state == OrderState.CANCELLED:
            _tell_withdrawn(uow, order, event)
        else:
            self._withdraw(uow, order, event.data.reason, event)
        return Done()

    def retry_order(self, uow: UnitOfWork[OrderRows], event: Event[OrderRetry]) -> Outcome:
        """Accept an order whose account has failed once more, with all its attempts ahead of it."""
        order = uow.rows.orders.get(event.data.order_id)
        if order is None:
            return _refuse_unknown(uow, event)
        if order.state != OrderState.FAILED:
            return _refuse(uow, event, f"its account is {order.state}", "only an account that has failed is retried")
        if order.free_at > uow.now:
            return _refuse(uow, event, "its domain is being released", "try again in a minute")
        placed = order.placed()
        # It released its domain when it failed, and another customer may have it by now.
        if self._names.is_anothers(uow.rows, placed):
            remedy = "cancel it, and have the customer choose another domain"
            return _refuse(uow, event, "its domain is above or below another customer's by now", remedy)
        order = uow.rows.enter(order.again(uow.now))
        uow.emit(telling.accepted(order), order.order_id, event)
        uow.redeliver(placed, INTAKE_ORDERS, order.order_id, event)
        _log.info("order.retried", order_id=order.order_id)
        return Done()

    def amend(self, uow: UnitOfWork[OrderRows], event: Event[OrderAmend]) -> Outcome:
        """Correct the customer's name or address, for everything that is installed or sent from now on."""
        order = uow.rows.orders.get(event.data.order_id)
        if order is None:
            return _refuse_unknown(uow, event)
        if event.data.name is None and event.data.email is None:
            return _refuse(uow, event, "no correction was given", "give a name, an e-mail address, or both")
        known = order.customer
        customer = Customer(name=event.data.name or known.name, email=event.data.email or known.email)
        uow.rows.orders.save(order.amended(customer, uow.now))
        uow.emit(OrderAmended(order_id=order.order_id, customer=customer), order.order_id, event)
        _log.info("order.amended", order_id=order.order_id)
        return Done()

    def _obstacle(self, order: Order) -> Cause | None:
        """Return why the order cannot be re-installed; None if it can."""
        if order.state != OrderState.CREATED:
            return INTAKE_CAUSES.cause(f"order_{order.state}", f"the order {order.order_id} is {order.state}")
        return self._staging.unknown(order)

    def _withdraw(self, uow: UnitOfWork[OrderRows], order: Order, reason: str, event: Event[Any]) -> None:
        cancelled = uow.rows.orders.save(order.cancelled(reason, uow.now))
        if cancelled.gives_domain_back:
            self._staging.take_back(uow, cancelled)
        elif order.state == OrderState.CREATED:
            self._staging.cancel(uow, cancelled, event)
        _tell_withdrawn(uow, cancelled, event)
        _log.info("order.withdrawn", order_id=order.order_id)


def _tell_withdrawn(uow: UnitOfWork[OrderRows], order: Order, event: Event[Any]) -> None:
    uow.emit(telling.withdrawn(order), order.order_id, event)


def _refuse_unknown(uow: UnitOfWork[OrderRows], event: Event[Any]) -> Outcome:
    remedy = "check the number; an order that was just sent may not have arrived yet"
    return refuse_command(uow, event, event.data.order_id, "there is no such order", remedy, code="no_such_order")


def _refuse(uow: UnitOfWork[OrderRows], event: Event[Any], detail: str, remedy: str) -> Outcome:
    return refuse_command(uow, event, event.data.order_id, detail, remedy)


def _wait_for_order(uow: UnitOfWork[OrderRows], event: Event[Any]) -> Outcome:
    """Try a fresh event again later, since it may have overtaken its order; park an old one."""
    early = INTAKE_CAUSES.cause(
        "no_such_order", "data.order_id names an order that has not arrived, or has no account yet"
    )
    fresh = event.time is not None and abs(uow.now - event.time) < _FRESH
    return Retry(uow.now + _PAUSE, early) if fresh else Park(early)
