"""Release the domain of an order that will have no site (decision 17)."""

from collections.abc import Mapping
from typing import Any

import structlog

from foundation.handling.outcomes import Done, Effect, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting import Server
from foundation.store.lease import Terms
from schemas.envelope import Event
from schemas.values import Cause
from services.order_intake import telling
from services.order_intake.causes import INTAKE_CAUSES
from services.order_intake.orders import Order
from services.order_intake.rows import OrderRows

_log = structlog.get_logger(__name__)


class Releasing:
    """The steps of one release; `give_back` begins it. The order is claimed meanwhile, so that nothing else happens to
    it."""

    def __init__(self, servers: Mapping[str, Server], terms: Terms) -> None:
        self._servers = servers
        self._terms = terms

    def give_back(self, uow: UnitOfWork[OrderRows], order: Order) -> Outcome | Effect[Order]:
        """Release the order's domain, unless it has a site, may yet have one, or has released its domain already."""
        if not order.gives_domain_back:
            return Done()
        if order.lease_until and order.is_leased(uow.now):
            return Retry(order.lease_until, INTAKE_CAUSES.cause("in_progress", "its account is being created"))
        claimed = uow.rows.orders.save(order.releasing(self._terms, uow.now))
        return Effect(claimed, self._release, self._released, self._kept, self._not_begun)

    def _release(self, order: Order) -> bool:
        release = getattr(self._servers.get(order.server), "release_domain", None)
        if release:
            release(order.username, order.domain)
        return release is not None

    def _released(self, uow: UnitOfWork[OrderRows], claim: Order, event: Event[Any], done: bool) -> Outcome:
        if order := uow.rows.orders.held(claim):
            without = uow.rows.orders.save(order.without_domain(uow.now))
            uow.emit(telling.ended(without), without.order_id, event)
            if done:
                _log.info("domain.given_back", order_id=order.order_id, server=order.server)
        return Done()

    def _kept(self, uow: UnitOfWork[OrderRows], claim: Order, _event: Event[Any], cause: Cause) -> Outcome:
        """Leave the domain to the next recovery sweep."""
        if order := uow.rows.orders.held(claim):
            uow.rows.orders.save(order.let_go(uow.now))
        _log.warning("domain.kept", order_id=claim.order_id, server=claim.server, cause=cause.code, reason=cause.detail)
        return Done()

    def _not_begun(self, uow: UnitOfWork[OrderRows], claim: Order, _event: Event[Any]) -> Outcome:
        if order := uow.rows.orders.held(claim):
            uow.rows.orders.save(order.let_go(uow.now))
        return stopped(uow)


def stopped(uow: UnitOfWork[OrderRows]) -> Retry:
    """Return the outcome of an effect that was not begun because the service stops."""
    return Retry(uow.now, INTAKE_CAUSES.cause("in_progress", "the worker that had it was told to stop"))
