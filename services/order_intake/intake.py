"""What order intake does with orders: create the account at once, stage the install."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from foundation.broker.topology import INSTALLER_DUE, INSTALLER_NOW, INTAKE_ORDERS
from foundation.hosting import AccountRequest, Server
from foundation.passwords import generated
from foundation.runtime.claims import Claims
from foundation.runtime.sealing import Sealer
from foundation.runtime.settings import Settings, Site
from foundation.runtime.tracing import Origin, trace_of
from foundation.runtime.tx import Ledger, Tx
from foundation.runtime.worker import Act, Done, Handlers, Park, Retry, Settled
from schemas.accounts import AccountCreated, AccountFailed
from schemas.envelope import Event
from schemas.installs import (
    InstallCancel,
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallStaged,
    InstallStarted,
    SiteSpec,
)
from schemas.orders import FieldError, OrderCancelled, OrderPlaced, OrderReinstallRequested
from schemas.values import AccountRef, Cause, CauseKind, ControlPanelLogin, install_id
from services.order_intake import accounts, rejections
from services.order_intake.accounts import Order, OrderState

MAX_TRIES = 6
_PAUSE = timedelta(seconds=10)
"""Before the first new try; doubles."""
_FRESH = timedelta(minutes=10)
"""How long an event may wait for one that should have come before it."""
_LONGEST = 3600.0
"""Seconds after which the creation of an account hangs. It may wait behind many others."""

_log = structlog.get_logger(__name__)


class Intake:
    """Order intake's handlers, on the servers that it may use."""

    def __init__(self, settings: Settings, servers: Mapping[str, Server], sealer: Sealer) -> None:
        self._settings = settings
        self._servers = servers
        self._sealer = sealer
        self._claims = Claims(_LONGEST)

    def orders(self) -> Handlers:
        """What producers send."""
        return {OrderPlaced: self.place, OrderReinstallRequested: self.reinstall, OrderCancelled: self.cancel}

    def news(self) -> Handlers:
        """What the installer says of the installs that we staged."""
        return {
            InstallStarted: partial(self.hear, "installing"),
            InstallCompleted: partial(self.hear, "installed"),
            InstallFailed: partial(self.hear, "failed"),
            InstallCancelled: partial(self.hear, "cancelled"),
        }

    def place(self, tx: Tx, event: Event[OrderPlaced]) -> Settled | Act:
        """A new order: claim it and create its account. The same order again changes nothing; another
        one under its id is rejected."""
        placed = event.data
        errors = self._errors(placed)
        if errors and accounts.find(tx, placed.order_id) is None:
            return rejections.reject(tx, event, "invalid_order", errors)
        # What is sold now decides about new orders, not about those that we have.
        order = None if errors else self._accept(tx, event)
        return self._create(order, event) if order else self._place_again(tx, event)

    def _accept(self, tx: Tx, event: Event[OrderPlaced]) -> Order | None:
        placed = event.data
        title = placed.blog_name or self._settings.sites[placed.site_type].blog_name
        server = placed.server or self._settings.default_server
        return accounts.accept(tx, placed, title, server, trace_of(event))

    def _place_again(self, tx: Tx, event: Event[OrderPlaced]) -> Settled | Act:
        order = accounts.find(tx, event.data.order_id)
        if order is None:
            return Retry(tx.now + _PAUSE, rejections.cause("in_progress", "another worker takes this order"))
        ours = event.source == tx.source  # woken from its row, where server and title are settled
        if order.digest != accounts.digest(event.data) and not ours:
            errors = (FieldError(field="data.order_id", message="is taken by an order with other content"),)
            return rejections.reject(tx, event, "order_conflict", errors)
        if order.state in (OrderState.CREATED, OrderState.CANCELLED):
            return Done()
        if order.state == OrderState.ACCEPTED and order.lease_until > tx.now:
            return Retry(order.lease_until, rejections.cause("in_progress", "another worker creates this account"))
        if hopeless := self._hopeless(order):
            return self._give_up(tx, order, event, hopeless)
        taken = accounts.take_over(tx, order)
        return self._create(taken, event) if taken else Done()

    def _hopeless(self, order: Order) -> Cause | None:
        """Why the order's account is not to be tried again, if so."""
        if not self._knows(order):
            return _not_configured(order)
        if order.state == OrderState.ACCEPTED and order.tries_now > MAX_TRIES:
            lost = f"{order.tries_now} workers were lost while they created this account"
            return rejections.cause("worker_lost", lost)
        return None

    def _create(self, order: Order, event: Event[OrderPlaced]) -> Act:
        return Act(
            run=partial(self._create_account, order),
            record=partial(self._record_account, order, event),
            fail=partial(self._record_failure, order, event),
            claimed=partial(self._claims.hold, order.order_id, order.tries),
            release=partial(self._release, order),
        )

    def renew_leases(self, ledger: Ledger) -> None:
        """Tell the table that we are still at work on what we have claimed, however slow the servers."""
        if held := self._claims.held():
            with ledger.transaction() as tx:
                accounts.renew(tx, held)

    def _create_account(self, order: Order) -> AccountRef:
        server = self._servers[order.server]
        password = generated()
        request = AccountRequest(order.username, order.domain, order.customer.email, order.order_id, password)
        server.create_account(request)
        panel = server.control_panel_url and ControlPanelLogin(
            url=server.control_panel_url, username=order.username, sealed_password=self._sealer.seal(password)
        )
        return AccountRef(
            server=order.server,
            username=order.username,
            domain=order.domain,
            address=server.address,
            control_panel=panel or None,
        )

    def _release(self, order: Order, tx: Tx) -> Settled:
        self._claims.let_go(order.order_id, order.tries)
        accounts.given_back(tx, order)
        return Retry(tx.now, rejections.cause("in_progress", "the worker that had it was told to stop"))

    def _record_account(self, order: Order, event: Event[OrderPlaced], tx: Tx, account: AccountRef) -> Settled:
        self._claims.let_go(order.order_id, order.tries)
        due_at = self._due_at(order, tx.now)
        created = accounts.created(tx, order, account, self._settings.begins_at(order.site_type, due_at))
        if created is None:
            return Done()
        news = AccountCreated(order_id=order.order_id, site_type=order.site_type, account=account)
        tx.emit(news, order.order_id, event)
        self._stage(tx, created, due_at, event)
        _log.info("account.created", order_id=order.order_id, username=order.username, server=order.server)
        return Done()

    def _record_failure(self, order: Order, event: Event[OrderPlaced], tx: Tx, cause: Cause) -> Settled:
        self._claims.let_go(order.order_id, order.tries)
        pause = _PAUSE * 2 ** (order.tries_now - 1)
        if order.tries_now >= MAX_TRIES:
            return self._give_up(tx, order, event, cause)
        if cause.code == "username_taken":
            accounts.released(tx, order, cause, accounts.candidate(order.domain, order.order_id, order.tries))
            return Retry(tx.now, cause)
        if cause.kind in (CauseKind.TRANSIENT, CauseKind.CAPACITY):
            accounts.released(tx, order, cause, order.username)
            return Retry(tx.now + pause, cause)
        return self._give_up(tx, order, event, cause)

    def _give_up(self, tx: Tx, order: Order, event: Event[OrderPlaced], cause: Cause) -> Settled:
        if accounts.failed(tx, order, cause) is None:
            return Done()
        tx.emit(AccountFailed(order_id=order.order_id, cause=cause, next=_mended(order)), order.order_id, event)
        _log.error("account.failed", order_id=order.order_id, cause=cause.code, reason=cause.detail)
        return Park(cause)

    def reinstall(self, tx: Tx, event: Event[OrderReinstallRequested]) -> Settled:
        """The order's site anew, as its next generation, through the same queue as the first."""
        order = accounts.find(tx, event.data.order_id)
        if order is None:
            return _wait_for_order(tx, event)
        if order.state == OrderState.ACCEPTED:
            return Retry(tx.now + _PAUSE, rejections.cause("in_progress", "the order's account is being created"))
        if not self._knows(order):
            return Park(_not_configured(order))
        if order.state != OrderState.CREATED:
            return Park(rejections.cause(f"order_{order.state}", f"the order {order.order_id} is {order.state}"))
        due_at = self._due_at(order, tx.now)
        begins_at = self._settings.begins_at(order.site_type, due_at)
        renewed = accounts.next_generation(tx, order, event.data.blog_name or order.title, begins_at, trace_of(event))
        if renewed:
            self._stage(tx, renewed, due_at, event)
        return Done()

    def cancel(self, tx: Tx, event: Event[OrderCancelled]) -> Settled:
        """Take back what is not yet installed."""
        order = accounts.find(tx, event.data.order_id)
        if order is None:
            return _wait_for_order(tx, event)
        if order.has_site and order.install_state in accounts.OVER:
            errors = (FieldError(field="data.order_id", message="is installed: there is nothing to take back"),)
            return rejections.reject(tx, event, "already_installed", errors)
        if order.state == OrderState.CANCELLED:
            return Done()
        cancelled = accounts.cancelled(tx, order, event.data.reason or "the order was cancelled")
        if cancelled and order.state == OrderState.CREATED:
            self._cancel_install(tx, cancelled, event)
        return Done()

    def _cancel_install(self, tx: Tx, order: Order, cause: Origin) -> None:
        install = install_id(order.order_id, order.generation)
        tx.emit(InstallCancel(install_id=install, reason=str(order.cancel_reason)), order.order_id, cause)

    def hear(
        self,
        state: str,
        tx: Tx,
        event: Event[InstallStarted] | Event[InstallCompleted] | Event[InstallFailed] | Event[InstallCancelled],
    ) -> Settled:
        """The installer has the install: nothing more to announce."""
        accounts.heard(tx, event.data.order_id, event.data.generation, state)
        return Done()

    def announce_again(self, ledger: Ledger) -> None:
        """Publish once more the installs, and the cancels, of which nothing was heard in time: they were lost
        with a broker. The installer knows its installs, so one too many changes nothing. Likewise wake
        accepted orders whose messages were lost."""
        with ledger.transaction() as tx:
            for order, number in accounts.silent(tx):
                if order.state == OrderState.ACCEPTED:
                    tx.wake(accounts.woken(tx, order), INTAKE_ORDERS, order.order_id, order.trace, suspect=True)
                    _log.warning("order.woken", order_id=order.order_id)
                    continue
                accounts.announced_again(tx, order, self._settings.begins_at(order.site_type, tx.now), number)
                if self._knows(order):
                    self._announce(tx, order)
                    _log.warning("install.announced_again", order_id=order.order_id, number=number)

    def _announce(self, tx: Tx, order: Order) -> None:
        if order.cancel_reason is None:
            self._stage(tx, order, tx.now, order.trace)
        else:  # the installer cancels only what it knows
            tx.emit(self._staged(order, self._settings.sites[order.site_type], tx.now), order.order_id, order.trace)
            self._cancel_install(tx, order, order.trace)

    def _knows(self, order: Order) -> bool:
        """Whether the order's server and site type are still configured; one that is not must not keep
        the others from being announced."""
        known = order.server in self._servers and order.site_type in self._settings.sites
        if not known:
            _log.error("order.not_configured", order_id=order.order_id, server=order.server, site_type=order.site_type)
        return known

    def _due_at(self, order: Order, now: datetime) -> datetime:
        return now + timedelta(seconds=self._settings.sites[order.site_type].settle_seconds)

    def _stage(self, tx: Tx, order: Order, due_at: datetime, cause: Origin) -> None:
        """Tell those who watch at once, and wake the installer when it is time."""
        site = self._settings.sites[order.site_type]
        staged = tx.emit(self._staged(order, site, due_at), order.order_id, cause)
        tx.deliver(staged, INSTALLER_DUE if self._settings.stages(order.site_type) else INSTALLER_NOW, due_at)

    def _staged(self, order: Order, site: Site, due_at: datetime) -> InstallStaged:
        if order.account is None:
            raise ValueError(f"order {order.order_id} is staged before it has an account")
        server = self._servers[order.server]
        temporary = site.address == "temporary"
        url = server.temporary_url(order.username) if temporary else server.domain_url(order.domain)
        return InstallStaged(
            install_id=install_id(order.order_id, order.generation),
            order_id=order.order_id,
            generation=order.generation,
            due_at=due_at,
            site=SiteSpec(site_type=order.site_type, url=url, title=order.title),
            account=order.account,
            customer=order.customer,
        )

    def _errors(self, placed: OrderPlaced) -> tuple[FieldError, ...]:
        errors = []
        sold = [name for name, site in self._settings.sites.items() if site.sold]
        if placed.site_type not in sold:
            errors.append(FieldError(field="data.site_type", message=f"is none of {', '.join(sold)}"))
        if placed.server and placed.server not in self._servers:
            errors.append(FieldError(field="data.server", message=f"is none of {', '.join(self._servers)}"))
        return tuple(errors)


def _mended(order: Order) -> str:
    """What happens next with an order whose account has failed."""
    again = f"`sitecrew parked requeue --order {order.order_id}`"
    return f"not tried again until staff does: once it is mended, {again}"


def _not_configured(order: Order) -> Cause:
    what = f"server {order.server} or site type {order.site_type}"
    return rejections.cause("not_configured", f"the settings have no {what} any more")


def _wait_for_order(tx: Tx, event: Event[Any]) -> Settled:
    """Events may come out of order: what speaks of an unknown order may only be early."""
    early = rejections.cause("no_such_order", "data.order_id names an order that has not come, or has no account yet")
    fresh = event.time is not None and abs(tx.now - event.time) < _FRESH
    return Retry(tx.now + _PAUSE, early) if fresh else Park(early)
