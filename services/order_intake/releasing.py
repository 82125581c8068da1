"""Giving back the domain of an order that has come to nothing."""

from collections.abc import Mapping
from typing import Any

import structlog

from foundation.handling.outcomes import Done, Effect, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting import Server
from schemas.envelope import Event
from schemas.values import Cause
from services.order_intake import moves
from services.order_intake.accounts import Order
from services.order_intake.causes import INTAKE

_log = structlog.get_logger(__name__)


class Releasing:
    """On the servers that the settings have. The order is claimed meanwhile, so that nobody tries it again."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = servers

    def give_back(self, uow: UnitOfWork, order: Order) -> Outcome | Effect:
        """Nothing, if the order has a site, or may have one yet, or has given its domain back."""
        if not order.gives_domain_back:
            return Done()
        if order.lease_until > uow.now:
            return Retry(order.lease_until, INTAKE.cause("in_progress", "its account is just being created"))
        claimed = moves.claimed_for_release(uow, order)
        if claimed is None:
            return Done()
        return Effect(claimed, self._release, self._record, self._record_kept, _give_up_claim)

    def _release(self, order: Order) -> bool:
        release = getattr(self._servers.get(order.server), "release_domain", None)
        if release:
            release(order.username, order.domain)
        return release is not None

    def _record(self, uow: UnitOfWork, order: Order, _event: Event[Any], done: bool) -> Outcome:
        if moves.gave_domain_back(uow, order) and done:
            _log.info("domain.given_back", order_id=order.order_id, server=order.server)
        return Done()

    def _record_kept(self, uow: UnitOfWork, order: Order, _event: Event[Any], cause: Cause) -> Outcome:
        moves.kept_domain(uow, order)
        _log.warning("domain.kept", order_id=order.order_id, server=order.server, cause=cause.code, reason=cause.detail)
        return Done()


def _give_up_claim(uow: UnitOfWork, order: Order, _event: Event[Any]) -> Outcome:
    moves.kept_domain(uow, order)
    return _stopped(uow)


def release_claim(uow: UnitOfWork, order: Order, _event: Event[Any]) -> Outcome:
    """What was claimed has not had its turn, because the service stops."""
    moves.given_back(uow, order)
    return _stopped(uow)


def _stopped(uow: UnitOfWork) -> Outcome:
    return Retry(uow.now, INTAKE.cause("in_progress", "the worker that had it was told to stop"))
