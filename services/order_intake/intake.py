"""What order intake does with orders: whether they are taken, and what is heard of their installs."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from foundation.config.keys import Sealer
from foundation.config.settings import Settings
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Retry
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.hosting import Server
from foundation.service.description import Description
from foundation.store.lease import Terms, this_process
from foundation.telemetry.tracing import trace_of
from schemas.envelope import Event
from schemas.installs import InstallCancelled, InstallCompleted, InstallFailed
from schemas.orders import FieldError, OrderCancelled, OrderKnown, OrderPlaced, OrderReinstallRequested
from schemas.services import ServiceDescribe
from schemas.values import install_id
from services.order_intake.causes import INTAKE
from services.order_intake.changes import Changes
from services.order_intake.creating import MAX_ATTEMPTS, Creating
from services.order_intake.names import Names
from services.order_intake.orders import LEASE, ORDERS, PATIENCE, Order, digest, path_of
from services.order_intake.recovery import recover
from services.order_intake.rejections import reject, reject_order_id
from services.order_intake.releasing import Releasing
from services.order_intake.rows import OrderRows
from services.order_intake.staging import Staging
from services.order_intake.states import OrderState

_LIKE_AN_INSTALL = re.compile(r"-g[0-9]{1,6}$")


class Intake:
    """Order intake's handlers, on the servers that it may use."""

    def __init__(self, settings: Settings, servers: Mapping[str, Server], sealer: Sealer) -> None:
        self._settings = settings
        self._servers = servers
        self._names = Names(settings)
        self._staging = Staging(settings, servers)
        self._terms = Terms(this_process(), LEASE, PATIENCE)
        self._creating = Creating(settings, servers, sealer, self._staging, self._terms)
        self.leases = Leases(ORDERS, self._terms, settings.order_intake.timeout_seconds)
        self._description = Description(
            "order-intake", lambda: {"max_attempts": MAX_ATTEMPTS, "site_types": tuple(settings.sites)}
        )
        releasing = Releasing(servers, self._terms)
        self._changes = Changes(self._staging, releasing, settings.limits.reinstalls_per_hour)
        self.reinstall, self.cancel = self._changes.reinstall, self._changes.cancel

    def orders(self) -> Handlers:
        """What producers send."""
        return {OrderPlaced: self.place, OrderReinstallRequested: self.reinstall, OrderCancelled: self.cancel}

    def commands(self) -> Handlers:
        """What staff ask of any order."""
        return {**self._changes.by_staff(), ServiceDescribe: self._description.answer}

    def news(self) -> Handlers:
        """What the installer says of the installs that we staged, when they have ended."""
        return {
            InstallCompleted: self.hear_completed,
            InstallFailed: self.hear_failed,
            InstallCancelled: self.hear_cancelled,
        }

    def recover(self, database: Database[OrderRows]) -> None:
        """Do again what should have had a consequence by now."""
        recover(database, self._staging)

    # An order arrives

    def place(self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Outcome | Effect[Order]:
        """A new order: claim it and create its account. The same order again changes nothing; another
        one under its id is rejected."""
        order = uow.rows.orders.get(event.data.order_id)
        # What is sold now decides about new orders, not about those that we have.
        return self._place_again(uow, event, order) if order else self._place_new(uow, event)

    def _place_new(self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Outcome | Effect[Order]:
        if errors := self._errors(event.data):
            return reject(uow, event, "invalid_order", *errors)
        if self._names.is_anothers(uow.rows, event.data):
            return _reject_domain(uow, event)
        order = uow.rows.enter(self._accepted(uow, event))
        if order.due_at > uow.now:
            return Retry(order.due_at, INTAKE.cause("in_progress", "its producer may place no more just now"))
        return self._creating.create(uow, order, event)

    def _accepted(self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced]) -> Order:
        """What is settled about an order when it is accepted, and stays so."""
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
            check_at=turn_at + PATIENCE,
            site_type=placed.site_type,
            domain=placed.domain,
            domain_path=path_of(placed.domain),
            customer=placed.customer,
            title=placed.blog_name or self._settings.sites[placed.site_type].blog_name,
            locale=placed.locale,
            timezone=placed.timezone,
            permalinks=placed.permalinks,
            server=placed.server or self._settings.default_server,
            username=uow.rows.username(placed),
            trace=trace_of(event),
            created_at=uow.now,
            updated_at=uow.now,
        )

    def _place_again(
        self, uow: UnitOfWork[OrderRows], event: Event[OrderPlaced], order: Order
    ) -> Outcome | Effect[Order]:
        # From its row, where server, title and customer are settled. Nobody else's word for it counts.
        woken = uow.sender.is_ourselves and event.source == uow.source
        if not order.is_of(event.source, uow.sender) or not (woken or order.digest == digest(event.data)):
            return reject_order_id(
                uow, event, "order_conflict", "is taken by an order with other content, or another's"
            )
        if order.state in (OrderState.CREATED, OrderState.CANCELLED):
            return Done() if woken else _known(uow, order, event)
        if order.free_at > uow.now:
            moves_it = woken or event.id == order.event_id or order.state == OrderState.FAILED
            waits = INTAKE.cause("in_progress", "another worker has it, or it waits its turn")
            return Retry(order.free_at, waits) if moves_it else _known(uow, order, event)
        if order.state == OrderState.FAILED:
            # It has given its domain back, and may find that it is another's by now.
            if self._names.is_anothers(uow.rows, event.data):
                return _reject_domain(uow, event)
            order = uow.rows.enter(order.again(uow.now))
        return self._creating.create(uow, order, event)

    def tell_known(self, uow: UnitOfWork[OrderRows], event: Event[Any]) -> None:
        """The same event again: whoever waits for what comes of it hears how far the order is."""
        order = uow.rows.orders.get(event.data.order_id) if isinstance(event.data, OrderPlaced) else None
        if order and order.is_of(event.source, uow.sender):
            _known(uow, order, event)

    # Its installs have ended

    def hear_completed(self, uow: UnitOfWork[OrderRows], event: Event[InstallCompleted]) -> Outcome:
        """The site is there: nothing more to announce."""
        if order := uow.rows.orders.get(event.data.order_id):
            uow.rows.orders.save(order.installed(event.data.generation, uow.now))
        return Done()

    def hear_failed(self, uow: UnitOfWork[OrderRows], event: Event[InstallFailed]) -> Outcome:
        """Nothing more to announce, either. A cancel is: a failed install may yet be staged again."""
        if order := uow.rows.orders.get(event.data.order_id):
            uow.rows.orders.save(order.install_failed(event.data.generation, uow.now))
        return Done()

    def hear_cancelled(self, uow: UnitOfWork[OrderRows], event: Event[InstallCancelled]) -> Outcome:
        """The install will not run, whoever took it back. If its order was, too, the domain is free."""
        about = event.data
        order = uow.rows.orders.get(about.order_id)
        if order is None or order.gives_domain_back:  # it has been told so already, and may be at it
            return Done()
        order = uow.rows.orders.save(order.install_cancelled(about.generation, about.reason, uow.now))
        if order.gives_domain_back:
            self._staging.take_back(uow, order)
        return Done()

    def _errors(self, placed: OrderPlaced) -> list[FieldError]:
        """What is wrong with a new order, beyond what its schema says."""
        sold = [name for name, site in self._settings.sites.items() if site.sold]
        zones = _time_zones()
        found = {
            "data.order_id": "ends like the name of an install (-g and a number); give it another ending"
            if _LIKE_AN_INSTALL.search(placed.order_id)
            else "",
            "data.site_type": "" if placed.site_type in sold else f"is none of {', '.join(sold)}",
            "data.server": f"is none of {', '.join(self._servers)}"
            if placed.server and placed.server not in self._servers
            else "",
            "data.domain": self._names.objection(placed.domain),
            "data.timezone": "is no time zone of the IANA database; send it like 'Europe/Berlin'"
            if placed.timezone and zones and placed.timezone not in zones
            else "",
        }
        return [FieldError(field=field, message=message) for field, message in found.items() if message]


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    """Those that this machine knows; none if it has no database of them."""
    return frozenset(available_timezones()) - {"localtime", "Factory"}  # whatever a machine is set to, and nothing


def _known(uow: UnitOfWork[OrderRows], order: Order, event: Event[OrderPlaced]) -> Outcome:
    """Nothing is to be done; whoever sent the order again hears how far it is."""
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
    message = "is below or above a domain of another customer"
    return reject(uow, event, "domain_conflict", FieldError(field="data.domain", message=message))
