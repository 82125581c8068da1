"""Create an order's account: claim the order, create the account on its server, record what came of it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from foundation.config.keys import Sealer
from foundation.config.queues import INTAKE_ORDERS
from foundation.config.settings import Settings
from foundation.handling.backoff import Backoff, Retries
from foundation.handling.outcomes import Done, Effect, GivenUp, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting import AccountRequest, Server
from foundation.passwords import generated
from foundation.store.lease import Terms
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from schemas.values import AccountRef, Cause, CauseKind, ControlPanelLogin
from services.order_intake import telling
from services.order_intake.causes import INTAKE_CAUSES
from services.order_intake.orders import MAX_ATTEMPTS, Order
from services.order_intake.releasing import stopped
from services.order_intake.rows import OrderRows
from services.order_intake.servers import HostingServers
from services.order_intake.staging import Staging
from services.order_intake.states import OrderState

MAX_WAITS = 150
"""How often an order may wait for room on its server: about a day in all."""
BACKOFF = Backoff(timedelta(seconds=10), timedelta(minutes=10), jitter=0)
_LOOK = timedelta(minutes=10)
"""After which an order that waits for its server looks by itself whether that is there."""
RETRIES = Retries(MAX_ATTEMPTS, BACKOFF)
_LONGEST_NAME = 253  # letters of a host name, dots included

_log = structlog.get_logger(__name__)


class Creating:
    """The steps of one attempt; `create` begins it."""

    def __init__(
        self, settings: Settings, servers: Mapping[str, Server], sealer: Sealer, staging: Staging, terms: Terms
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._sealer = sealer
        self._staging = staging
        self._terms = terms
        self.hosting = HostingServers(settings)

    def create(self, uow: UnitOfWork[OrderRows], order: Order, event: Event[OrderPlaced]) -> Outcome | Effect[Order]:
        """Claim the order for one more attempt at its account, or give it up."""
        if obstacle := self._obstacle(order):
            return self._give_up(uow, order, event, obstacle)
        if order.lease_owner:
            lost = INTAKE_CAUSES.cause("worker_lost", f"the worker {order.lease_owner} ended, or lost its database")
            order = _put_off(uow, order.postponed(uow.now, lost, uow.now), event)
            self.hosting.concurrency.ended(uow, order.server)
        if missing := self.hosting.missing(uow, order.server):
            return _wait(uow, order, *missing, event)
        self.hosting.concurrency.begun(uow, order.server)
        claimed = uow.rows.orders.save(order.started(event.id, self._terms, uow.now))
        return Effect(claimed, self._create, self._created, self._failed, self._not_begun)

    def _obstacle(self, order: Order) -> Cause | None:
        """Return why there is no point in another attempt; None if there is."""
        if order.attempt > MAX_ATTEMPTS:
            return INTAKE_CAUSES.cause(
                "worker_lost", f"{order.attempt} workers were lost while they created this account"
            )
        return self._staging.unknown(order)

    def _create(self, order: Order) -> AccountRef:
        server = self._servers[order.server]
        password = generated()
        aliases = (f"www.{order.domain}",) if self._has_www(order) else ()
        request = AccountRequest(order.username, order.domain, order.customer.email, order.order_id, password, aliases)
        made = server.create_account(request)
        panel = server.control_panel_url and ControlPanelLogin(
            url=server.control_panel_url, username=order.username, sealed_password=self._sealer.seal(password)
        )
        return AccountRef(
            server=order.server,
            username=order.username,
            domain=order.domain,
            address=server.address,
            aliases=made.aliases or None,
            control_panel=panel or None,
        )

    def _has_www(self, order: Order) -> bool:
        bare = not order.domain.startswith("www.") and len(order.domain) + len("www.") <= _LONGEST_NAME
        return bare and self._settings.sites[order.site_type].www

    def _created(
        self, uow: UnitOfWork[OrderRows], claim: Order, event: Event[OrderPlaced], account: AccountRef
    ) -> Outcome:
        self.hosting.concurrency.ended(uow, claim.server)
        order = uow.rows.orders.get(claim.order_id)
        if order and order.state in (OrderState.CANCELLED, OrderState.FAILED):
            late = uow.rows.orders.save(order.too_late(uow.now))
            if not order.holds_domain:
                uow.emit(telling.ended(late), late.order_id, event)
            self._staging.take_back(uow, late)
        elif (held := uow.rows.orders.held(claim)) and held.state == OrderState.ACCEPTED:
            self._staging.created(uow, held, account, event)
            _log.info("account.created", order_id=held.order_id, username=held.username, server=held.server)
        return Done()

    def _failed(self, uow: UnitOfWork[OrderRows], claim: Order, event: Event[OrderPlaced], cause: Cause) -> Outcome:
        self.hosting.concurrency.ended(uow, claim.server)
        order = uow.rows.orders.held(claim)
        if order is None or order.state != OrderState.ACCEPTED:
            return Retry(uow.now, INTAKE_CAUSES.cause("in_progress", "it is another worker's by now, or was cancelled"))
        if cause.kind == CauseKind.CAPACITY and order.waits < MAX_WAITS:
            return self._without_room(uow, order, event, cause)
        pause = RETRIES.pause(cause, order.attempt)
        if cause.code == "username_taken" and order.attempt < MAX_ATTEMPTS:
            order, pause = order.renamed(uow.now), timedelta(0)
        if pause is None:
            return self._give_up(uow, order, event, cause)
        _put_off(uow, order.postponed(uow.now + pause, cause, uow.now), event)
        return Retry(uow.now + pause, cause)

    def _without_room(
        self, uow: UnitOfWork[OrderRows], order: Order, event: Event[OrderPlaced], cause: Cause
    ) -> Outcome:
        again_at = uow.now + BACKOFF.pause(order.waits + 1)
        _put_off(uow, order.without_room(again_at, cause, uow.now), event)
        _log.warning("account.put_off", order_id=order.order_id, cause=cause.code, reason=cause.detail, due_at=again_at)
        return Retry(again_at, cause)

    def _give_up(self, uow: UnitOfWork[OrderRows], order: Order, event: Event[OrderPlaced], cause: Cause) -> Outcome:
        failed = uow.rows.orders.save(order.failed(cause, uow.now))
        self._staging.take_back(uow, failed)
        uow.emit(telling.failed(failed), order.order_id, event)
        _log.error("account.failed", order_id=order.order_id, cause=cause.code, reason=cause.detail)
        return GivenUp()

    def _not_begun(self, uow: UnitOfWork[OrderRows], claim: Order, _event: Event[Any]) -> Outcome:
        self.hosting.concurrency.ended(uow, claim.server)
        if order := uow.rows.orders.held(claim):
            uow.rows.orders.save(order.let_go(uow.now).unclaimed())
        return stopped(uow)


def _wait(
    uow: UnitOfWork[OrderRows], order: Order, cause: Cause, until: datetime | None, event: Event[OrderPlaced]
) -> Outcome:
    """Have an order wait for its server, and tell so once. Should nobody wake it, it looks again by itself."""
    again_at = min(uow.now + _LOOK, until or uow.now + _LOOK)
    waiting = uow.rows.orders.save(order.waiting(again_at, cause, uow.now))
    uow.redeliver(waiting.placed(), INTAKE_ORDERS, waiting.order_id, waiting.trace, at=again_at)
    if order.cause is None or order.cause.code != cause.code:
        uow.emit(telling.retrying(waiting), waiting.order_id, event)
        _log.warning("account.put_off", order_id=order.order_id, cause=cause.code, reason=cause.detail, due_at=again_at)
    return Done()


def _put_off(uow: UnitOfWork[OrderRows], waiting: Order, event: Event[OrderPlaced]) -> Order:
    """Save an order that waits for another attempt, and tell so."""
    waiting = uow.rows.orders.save(waiting)
    uow.emit(telling.retrying(waiting), waiting.order_id, event)
    return waiting
