"""Order intake's handlers: whether an order is accepted, and what follows when its installs end (docs/lifecycle.md)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from foundation.config.keys import Sealer
from foundation.config.queues import INTAKE_COMMANDS
from foundation.config.settings import Settings
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.hosting import Server
from foundation.service.description import Description
from foundation.service.replay import Replay
from foundation.service.site_types import SiteTypes
from foundation.store.lease import Terms, this_process
from foundation.telemetry.tracing import trace_of
from schemas.envelope import Event
from schemas.installs import InstallCancelled, InstallCompleted, InstallFailed
from schemas.orders import FieldError, OrderKnown, OrderPlaced
from schemas.servers import ServerClosed, ServerOpened
from schemas.services import ServiceDescribe, ServiceDescribed, ServiceReplay, SiteTypeConfigure
from schemas.values import install_id
from services.order_intake import telling
from services.order_intake.causes import INTAKE_CAUSES
from services.order_intake.changes import Changes
from services.order_intake.creating import Creating
from services.order_intake.names import Names
from services.order_intake.orders import LEASE, MAX_ATTEMPTS, ORDERS, OVERDUE, Order, digest, path_of
from services.order_intake.recovery import recover
from services.order_intake.rejections import reject, reject_order_id
from services.order_intake.releasing import Releasing
from services.order_intake.rows import OrderRows
from services.order_intake.staging import Staging
from services.order_intake.states import OrderState

_LIKE_AN_INSTALL = re.compile(r"-g[0-9]{1,6}$")


class Intake:
    """The handlers of order intake's three queues. What is asked of an existing order is in `changes`."""

    def __init__(self, settings: Settings, servers: Mapping[str, Server], sealer: Sealer) -> None:
        self._settings = settings
        self._servers = servers
        self._names = Names(settings)
        self.site_types = SiteTypes("order-intake", settings, refuses_unknown=True)
        self._staging = Staging(settings, servers, self.site_types)
        self._terms = Terms(this_process(), LEASE, OVERDUE)
        self._creating = Creating(settings, servers, sealer, self._staging, self._terms)
        self.hosting = self._creating.hosting
        self.leases = Leases(ORDERS, self._terms, settings.order_intake.timeout_seconds)
        self._description = Description(
            "order-intake", lambda _uow: {"max_attempts": MAX_ATTEMPTS, "site_types": tuple(settings.sites)}
        )
        releasing = Releasing(servers, self._terms)
        self.changes = Changes(self._staging, releasing, self._names, settings.limits.reinstalls_per_hour)

    def orders(self) -> Handlers:
        """Handlers of what producers send."""
        return {OrderPlaced: self.place, **self.changes.by_producers()}

    def commands(self) -> Handlers:
        """Handlers of what staff ask for any order."""
        replay = Replay("order-intake", INTAKE_COMMANDS, ORDERS, telling.tell)
        return {
            **self.changes.by_staff(),
            SiteTypeConfigure: self.site_types.configure,
            ServiceDescribe: self._description.answer,
            ServiceReplay: replay.answer,
        }

    def installs(self) -> Handlers:
        """Handlers of what the installer reports: how an install ended, and whether a server may be used."""
        return {
            InstallCompleted: self.install_completed,
            InstallFailed: self.install_failed,
            InstallCancelled: self.install_cancelled,
            ServerOpened: self.hosting.opened,
            ServerClosed: self.hosting.closed,
            ServiceDescribed: self.hosting.described,
        }

    def recover(self, database: Database[OrderRows]) -> None:
        """Run the recovery sweep once."""
        recover(database, self._staging)

    # An order arrives

    def place(self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Outcome | Effect[Order]:
        """Accept a new order, claim it and create its account. The same order again changes nothing; a different one
        under its id is rejected."""
        order = uow.rows.orders.get(event.data.order_id)
        # Only new orders are checked against the settings: an accepted one stays valid when they change.
        return self._place_again(uow, event, order) if order else self._place_new(uow, event)

    def _place_new(self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Outcome | Effect[Order]:
        if errors := self._errors(event.data):
            return reject(uow, event, "invalid_order", *errors)
        if self._names.is_anothers(uow.rows, event.data):
            return _reject_domain(uow, event)
        order = _enter(uow, self._accepted(uow, event), event)
        if order.due_at > uow.now:
            return Retry(order.due_at, INTAKE_CAUSES.cause("in_progress", "its producer has reached its limit"))
        return self._creating.create(uow, order, event)

    def _errors(self, placed: OrderPlaced) -> list[FieldError]:
        """Return what is wrong with a new order, beyond what its schema checks."""
        sold = [name for name, site in self._settings.sites.items() if site.sold]
        zones = _time_zones()
        found = {
            "data.order_id": "must not end like an install id (-g and a number)"
            if _LIKE_AN_INSTALL.search(placed.order_id)
            else "",
            "data.site_type": "" if placed.site_type in sold else f"must be one of {', '.join(sold)}",
            "data.server": f"must be one of {', '.join(self._servers)}"
            if placed.server and placed.server not in self._servers
            else "",
            "data.domain": self._names.objection(placed.domain),
            "data.timezone": "is not a known time zone; send a name from the IANA database, such as 'Europe/Berlin'"
            if placed.timezone and zones and placed.timezone not in zones
            else "",
        }
        return [FieldError(field=field, message=message) for field, message in found.items() if message]

    def _accepted(self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Order:
        """Return the order's row, with everything that is decided once and for all on acceptance."""
        placed = event.data
        turn_at = uow.rows.turns.take(uow.sender.user_id, self._settings.limits.orders_per_minute, uow.now)
        return Order(
            order_id=placed.order_id,
            digest=digest(placed),
            event_id=event.id,
            source=event.source,
            user_id=uow.sender.user_id,
            turn_at=turn_at,
            due_at=turn_at,
            check_at=turn_at + OVERDUE,
            site_type=placed.site_type,
            domain=placed.domain,
            domain_path=path_of(placed.domain),
            customer=placed.customer,
            title=placed.blog_name or self._settings.sites[placed.site_type].blog_name,
            locale=placed.locale,
            timezone=placed.timezone,
            permalinks=placed.permalinks,
            priority=placed.priority,
            server=placed.server or self._settings.default_server,
            username=uow.rows.username(placed),
            trace=trace_of(event),
            created_at=uow.now,
            updated_at=uow.now,
        )

    def _place_again(
        self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced], order: Order
    ) -> Outcome | Effect[Order]:
        # An order that we have redelivered to ourselves is made from its row, whose defaults are filled in, so its
        # digest differs. Nobody else's may differ.
        woken = uow.sender.is_ourselves and event.source == uow.source
        if not order.is_of(event.source, uow.sender) or not (woken or order.digest == digest(event.data)):
            return reject_order_id(
                uow, event, "order_conflict", "is already taken, by an order with other content or of another sender"
            )
        if order.state in (OrderState.CREATED, OrderState.CANCELLED):
            return Done() if woken else _answer_known(uow, order, event)
        if order.free_at > uow.now:
            moves_it = woken or event.id == order.event_id or order.state == OrderState.FAILED
            waits = INTAKE_CAUSES.cause("in_progress", "another worker has it, or it is waiting its turn")
            return Retry(order.free_at, waits) if moves_it else _answer_known(uow, order, event)
        if order.state == OrderState.FAILED:
            # It released its domain when it failed, and another customer may have it by now.
            if self._names.is_anothers(uow.rows, event.data):
                return _reject_domain(uow, event)
            order = _enter(uow, order.again(uow.now), event)
        return self._creating.create(uow, order, event)

    def answer_duplicate(self, uow: UnitOfWork[OrderRows], event: Event[Any]) -> None:
        """Tell the sender of a duplicate order how far the order is."""
        order = uow.rows.orders.get(event.data.order_id) if isinstance(event.data, OrderPlaced) else None
        if order and order.is_of(event.source, uow.sender):
            _answer_known(uow, order, event)

    # Its installs have ended

    def install_completed(self, uow: UnitOfWork[OrderRows], event: Event[InstallCompleted]) -> Outcome:
        """Note that the order has its site, and tell so if it was cancelled; its install is announced no more."""
        if order := uow.rows.orders.get(event.data.order_id):
            installed = uow.rows.orders.save(order.installed(event.data.generation, uow.now))
            if installed.state != order.state:
                uow.emit(telling.created(installed), order.order_id, event)
        return Done()

    def install_failed(self, uow: UnitOfWork[OrderRows], event: Event[InstallFailed]) -> Outcome:
        """Note that the install failed; it is announced no more. A cancel still is, because staff may retry a failed
        install."""
        if order := uow.rows.orders.get(event.data.order_id):
            uow.rows.orders.save(order.install_failed(event.data.generation, uow.now))
        return Done()

    def install_cancelled(self, uow: UnitOfWork[OrderRows], event: Event[InstallCancelled]) -> Outcome:
        """Note that the install will not run, whoever cancelled it. If its order was cancelled too, release the domain
        once none of its installs can run."""
        about = event.data
        order = uow.rows.orders.get(about.order_id)
        if order is None or order.gives_domain_back:  # being released already
            return Done()
        order = uow.rows.orders.save(order.install_cancelled(about.generation, about.reason, uow.now))
        if order.gives_domain_back:
            self._staging.take_back(uow, order)
        return Done()


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    """Return the time zones that this machine knows; empty if it has no time zone database."""
    return frozenset(available_timezones()) - {"localtime", "Factory"}  # whatever a machine is set to, and nothing


def _enter(uow: UnitOfWork[OrderRows], order: Order, event: Event[OrderPlaced]) -> Order:
    order = uow.rows.enter(order)
    uow.emit(telling.accepted(order), order.order_id, event)
    return order


def _answer_known(uow: UnitOfWork[OrderRows], order: Order, event: Event[OrderPlaced]) -> Outcome:
    """Do nothing but tell the sender how far the order is."""
    install = install_id(order.order_id, order.generation) if order.generation else None
    known = OrderKnown(
        order_id=order.order_id,
        event_id=event.id,
        state=order.state,
        placed_at=order.created_at,
        install_id=install,
        install_state=order.install_state if install else None,
    )
    uow.emit(known, order.order_id, event)
    return Done()


def _reject_domain(uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Outcome:
    message = "is above or below another customer's domain"
    return reject(uow, event, "domain_conflict", FieldError(field="data.domain", message=message))
