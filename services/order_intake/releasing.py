"""Giving back the domain of an order that has come to nothing."""

from collections.abc import Mapping
from functools import partial

import structlog

from foundation.handling.claims import Claims
from foundation.handling.tx import Tx
from foundation.handling.worker import Act, Done, Retry, Settled
from foundation.hosting import Server
from schemas.values import Cause
from services.order_intake import moves
from services.order_intake.accounts import Order
from services.order_intake.causes import INTAKE

_log = structlog.get_logger(__name__)


class Releasing:
    """On the servers that the settings have. The order is claimed meanwhile, so that nobody tries it again."""

    def __init__(self, servers: Mapping[str, Server], claims: Claims) -> None:
        self._servers = servers
        self._claims = claims

    def give_back(self, tx: Tx, order: Order) -> Settled | Act:
        """Nothing, if the order has a site, or may have one yet, or has given its domain back."""
        if not order.gives_domain_back:
            return Done()
        if order.lease_until > tx.now:
            return Retry(order.lease_until, INTAKE.cause("in_progress", "its account is just being created"))
        claimed = moves.claimed_for_release(tx, order)
        if claimed is None:
            return Done()
        return Act(
            run=partial(self._release, claimed),
            record=partial(self._record, claimed),
            fail=partial(self._record_kept, claimed),
            claimed=partial(self._claims.hold, claimed.order_id, claimed.tries, waiting=True),
            release=partial(self._give_up_claim, claimed),
        )

    def _release(self, order: Order) -> bool:
        self._claims.hold(order.order_id, order.tries)
        release = getattr(self._servers.get(order.server), "release_domain", None)
        if release:
            release(order.username, order.domain)
        return release is not None

    def _record(self, order: Order, tx: Tx, done: bool) -> Settled:
        self._claims.let_go(order.order_id, order.tries)
        if moves.gave_domain_back(tx, order) and done:
            _log.info("domain.given_back", order_id=order.order_id, server=order.server)
        return Done()

    def _record_kept(self, order: Order, tx: Tx, cause: Cause) -> Settled:
        self._claims.let_go(order.order_id, order.tries)
        moves.kept_domain(tx, order)
        _log.warning("domain.kept", order_id=order.order_id, server=order.server, cause=cause.code, reason=cause.detail)
        return Done()

    def _give_up_claim(self, order: Order, tx: Tx) -> Settled:
        self._claims.let_go(order.order_id, order.tries)
        moves.kept_domain(tx, order)
        return _stopped(tx)


def release_claim(claims: Claims, order: Order, tx: Tx) -> Settled:
    """What was claimed has not had its turn, because the service stops."""
    claims.let_go(order.order_id, order.tries)
    moves.given_back(tx, order)
    return _stopped(tx)


def _stopped(tx: Tx) -> Settled:
    return Retry(tx.now, INTAKE.cause("in_progress", "the worker that had it was told to stop"))
