"""Staging an order's installs: saying what is to be installed, and saying it again if nothing is heard."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from foundation.config.queues import INSTALLER_DUE, INSTALLER_NOW, INTAKE_ORDERS
from foundation.config.servers import site_url
from foundation.config.settings import Settings
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.hosting import Server
from foundation.telemetry.tracing import Origin, trace_of
from schemas.accounts import AccountCreated
from schemas.envelope import Event
from schemas.installs import InstallCancel, InstallStaged, SiteSpec
from schemas.orders import OrderCancelled
from schemas.values import AccountRef, Cause, install_id
from services.order_intake import accounts, moves
from services.order_intake.accounts import Order, OrderState
from services.order_intake.causes import INTAKE

_log = structlog.get_logger(__name__)


class Staging:
    """What is said of orders' installs, on the servers that the settings have."""

    def __init__(self, settings: Settings, servers: Mapping[str, Server]) -> None:
        self._settings = settings
        self._servers = servers

    def created(self, uow: UnitOfWork, order: Order, account: AccountRef, cause: Origin) -> Order | None:
        """The account exists: stage its first install. None if the order was cancelled or taken over meanwhile."""
        due_at = self._due_at(order, uow.now)
        now = accounts.find(uow, order.order_id) or order  # its customer may have been corrected since it was claimed
        current = replace(order, customer=now.customer)
        created = moves.created(uow, current, account, self._settings.begins_at(order.site_type, due_at))
        if created:
            news = AccountCreated(order_id=order.order_id, site_type=order.site_type, account=account)
            uow.emit(news, order.order_id, cause)
            self._stage(uow, created, due_at, cause)
        return created

    def again(self, uow: UnitOfWork, order: Order, title: str | None, cause: Event[Any]) -> Order | None:
        """Stage the order's next install. None if another was faster."""
        due_at = self._due_at(order, uow.now)
        begins_at = self._settings.begins_at(order.site_type, due_at)
        renewed = moves.next_generation(uow, order, title or order.title, begins_at, trace_of(cause))
        if renewed:
            self._stage(uow, renewed, due_at, cause)
        return renewed

    def cancel(self, uow: UnitOfWork, order: Order, cause: Origin) -> None:
        """Tell the installer that the order's newest install is not wanted; none of them, if there is no site yet."""
        for generation in range(order.generation if order.has_site else 1, order.generation + 1):
            if generation < order.generation and generation in order.cancelled_installs.numbers:
                continue
            unwanted = InstallCancel(install_id=install_id(order.order_id, generation), reason=str(order.cancel_reason))
            uow.emit(unwanted, order.order_id, cause)

    def take_back(self, uow: UnitOfWork, order: Order) -> None:
        """Have the order give its domain back, now or as soon as nobody is at work on it."""
        uow.redeliver(OrderCancelled(order_id=order.order_id), INTAKE_ORDERS, order.order_id, order.trace)

    def announce_again(self, database: Database) -> None:
        """Publish once more the installs, and the cancels, of which nothing was heard in time: they were lost
        with a broker. The installer knows its installs, so one too many changes nothing. Likewise wake
        orders whose messages were lost."""
        with database.begin() as uow:
            for order, number in moves.silent(uow):
                if order.state == OrderState.ACCEPTED:
                    uow.redeliver(moves.woken(uow, order), INTAKE_ORDERS, order.order_id, order.trace, suspect=True)
                    _log.warning("order.woken", order_id=order.order_id)
                    continue
                if order.gives_domain_back:
                    moves.kept_domain(uow, order)
                    self.take_back(uow, order)
                    continue
                moves.announced_again(uow, order, self._settings.begins_at(order.site_type, uow.now), number)
                if order.account and self.unknown(order) is None:
                    self._announce(uow, order)
                    _log.warning("install.announced_again", order_id=order.order_id, number=number)

    def unknown(self, order: Order) -> Cause | None:
        """Why nothing can be done for the order: its server or site type is gone from the settings. One of these must
        not keep the others from being announced."""
        if order.server in self._servers and order.site_type in self._settings.sites:
            return None
        _log.error("order.not_configured", order_id=order.order_id, server=order.server, site_type=order.site_type)
        what = f"server {order.server} or site type {order.site_type}"
        return INTAKE.cause("not_configured", f"the settings have no {what} any more")

    def _announce(self, uow: UnitOfWork, order: Order) -> None:
        if order.cancel_reason is None:
            self._stage(uow, order, uow.now, order.trace)
        else:  # the installer cancels only what it knows
            uow.emit(self._staged(order, uow.now), order.order_id, order.trace)
            self.cancel(uow, order, order.trace)

    def _due_at(self, order: Order, now: datetime) -> datetime:
        return now + timedelta(seconds=self._settings.sites[order.site_type].settle_seconds)

    def _stage(self, uow: UnitOfWork, order: Order, due_at: datetime, cause: Origin) -> None:
        """Tell those who watch at once, and wake the installer when it is time."""
        staged = uow.emit(self._staged(order, due_at), order.order_id, cause)
        uow.deliver(staged, INSTALLER_DUE if self._settings.stages(order.site_type) else INSTALLER_NOW, due_at)

    def _staged(self, order: Order, due_at: datetime) -> InstallStaged:
        if order.account is None:
            raise ValueError(f"order {order.order_id} is staged before it has an account")
        server = self._servers[order.server]
        url = site_url(self._settings, server, order.site_type, order.username, order.domain)
        site = self._settings.sites[order.site_type]
        wishes = {name: getattr(order, name) or getattr(site, name) for name in ("locale", "timezone", "permalinks")}
        return InstallStaged(
            install_id=install_id(order.order_id, order.generation),
            order_id=order.order_id,
            generation=order.generation,
            due_at=due_at,
            site=SiteSpec(site_type=order.site_type, url=url, title=order.title, **wishes),
            account=order.account,
            customer=order.customer,
        )
