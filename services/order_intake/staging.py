"""Stage an order's installs, cancel them, and announce them again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from foundation.config.queues import INTAKE_ORDERS, installs_queue
from foundation.config.servers import site_url
from foundation.config.settings import Settings
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting import Server
from foundation.service.site_types import SiteTypes
from foundation.telemetry.tracing import Origin, trace_of
from schemas.envelope import Event
from schemas.installs import InstallCancel, InstallStaged, SiteSpec
from schemas.orders import OrderCancelled
from schemas.values import AccountRef, Cause, install_id
from services.order_intake import telling
from services.order_intake.causes import INTAKE_CAUSES
from services.order_intake.orders import Order
from services.order_intake.rows import OrderRows

_log = structlog.get_logger(__name__)


class Staging:
    """Emits what the installer needs to know of orders' installs."""

    def __init__(self, settings: Settings, servers: Mapping[str, Server], site_types: SiteTypes) -> None:
        self._settings = settings
        self._servers = servers
        self._site_types = site_types

    def created(self, uow: UnitOfWork[OrderRows], order: Order, account: AccountRef, cause: Origin) -> Order:
        """Record the order's account, and stage its first install."""
        due_at = self._due_at(order, uow.now)
        begins_at = self._site_types.begins_at(order.site_type, due_at)
        created = uow.rows.orders.save(order.created(account, begins_at, uow.now))
        uow.emit(telling.created(created), order.order_id, cause)
        self._stage(uow, created, due_at, cause)
        return created

    def again(self, uow: UnitOfWork[OrderRows], order: Order, title: str | None, cause: Event[Any]) -> None:
        """Stage the order's next install."""
        due_at = self._due_at(order, uow.now)
        begins_at = self._site_types.begins_at(order.site_type, due_at)
        renewed = order.reinstalling(title or order.title, trace_of(cause), begins_at, uow.now)
        self._stage(uow, uow.rows.orders.save(renewed), due_at, cause)

    def cancel(self, uow: UnitOfWork[OrderRows], order: Order, cause: Origin) -> None:
        """Tell the installer to cancel the order's newest install; all of them, if there is no site yet."""
        for generation in range(order.generation if order.has_site else 1, order.generation + 1):
            if generation < order.generation and generation in order.cancelled_installs.numbers:
                continue
            unwanted = InstallCancel(install_id=install_id(order.order_id, generation), reason=str(order.cancel_reason))
            uow.emit(unwanted, order.order_id, cause)

    def take_back(self, uow: UnitOfWork[OrderRows], order: Order) -> None:
        """Have order intake release the order's domain, as soon as no worker holds the order."""
        uow.redeliver(OrderCancelled(order_id=order.order_id), INTAKE_ORDERS, order.order_id, order.trace)

    def announce_again(self, uow: UnitOfWork[OrderRows], order: Order) -> None:
        """Announce the order's newest install, or its cancel, once more."""
        number = order.announcements
        begins_at = self._site_types.begins_at(order.site_type, uow.now)
        uow.rows.orders.save(order.announced(begins_at, number))
        if order.account and self.unknown(order) is None:
            self._announce(uow, order)
            _log.warning("install.announced_again", order_id=order.order_id, number=number)

    def unknown(self, order: Order) -> Cause | None:
        """Return why nothing can be done for the order: its server or site type is gone from the settings. Not raised,
        so that one such order does not keep others from being announced."""
        if order.server in self._servers and order.site_type in self._settings.sites:
            return None
        _log.error("order.not_configured", order_id=order.order_id, server=order.server, site_type=order.site_type)
        what = f"server {order.server} or site type {order.site_type}"
        return INTAKE_CAUSES.cause("not_configured", f"the settings no longer have {what}")

    def _announce(self, uow: UnitOfWork[OrderRows], order: Order) -> None:
        if order.cancel_reason is None:
            self._stage(uow, order, uow.now, order.trace)
        else:  # the installer cancels only what it knows
            uow.emit(self._staged(order, uow.now), order.order_id, order.trace)
            self.cancel(uow, order, order.trace)

    def _due_at(self, order: Order, now: datetime) -> datetime:
        return now + timedelta(seconds=self._settings.sites[order.site_type].settle_seconds)

    def _stage(self, uow: UnitOfWork[OrderRows], order: Order, due_at: datetime, cause: Origin) -> None:
        """Announce the install at once, and deliver it to the installer when it is due."""
        staged = uow.emit(self._staged(order, due_at), order.order_id, cause)
        queue = installs_queue(order.priority, is_staged=self._site_types.stages(order.site_type))
        uow.deliver(staged, queue, due_at)

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
            priority=order.priority,
        )
