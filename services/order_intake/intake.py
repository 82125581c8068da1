"""What order intake does with orders: create the account at once, stage the install."""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any
from zoneinfo import available_timezones

import structlog

from foundation.config.keys import Sealer
from foundation.config.settings import Settings
from foundation.handling.leases import Leases
from foundation.handling.outcomes import Done, Effect, Handlers, Outcome, Park, Retry
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.hosting import AccountRequest, Server
from foundation.passwords import generated
from foundation.service.description import Description
from foundation.store.alone import alone
from foundation.telemetry.tracing import trace_of
from schemas.accounts import AccountFailed
from schemas.envelope import Event
from schemas.installs import InstallCancelled, InstallCompleted, InstallFailed, InstallStarted
from schemas.orders import FieldError, OrderCancelled, OrderKnown, OrderPlaced, OrderReinstallRequested
from schemas.services import ServiceDescribe
from schemas.values import AccountRef, Cause, CauseKind, ControlPanelLogin, install_id
from services.order_intake import accounts, limits, moves
from services.order_intake.accounts import Order, OrderState
from services.order_intake.causes import INTAKE
from services.order_intake.changes import Changes
from services.order_intake.moves import Acceptance
from services.order_intake.names import Names
from services.order_intake.rejections import reject, reject_order_id
from services.order_intake.releasing import Releasing, release_claim
from services.order_intake.staging import Staging
from services.order_intake.upcoming import after_failure

MAX_TRIES = 6
MAX_WAITS = 150
"""How often an order waits for room: for about a day."""
_PAUSE = timedelta(seconds=10)
"""Before the first new try; doubles."""
_LONGEST_PAUSE = timedelta(minutes=10)
_LONGEST_NAME = 253  # letters of a host name, dots included
_LIKE_AN_INSTALL = re.compile(r"-g[0-9]{1,6}$")
_INSTALL_STATES = {"": "staged", "installing": "started"}
"""How the contract calls what was last heard of an install; the others are called the same."""

_log = structlog.get_logger(__name__)


class Intake:
    """Order intake's handlers, on the servers that it may use."""

    def __init__(self, settings: Settings, servers: Mapping[str, Server], sealer: Sealer) -> None:
        self._settings = settings
        self._servers = servers
        self._sealer = sealer
        self._names = Names(settings)
        self._staging = Staging(settings, servers)
        self.leases = Leases(settings.order_intake.timeout_seconds, key="order_id", fence="tries")
        self._description = Description(
            "order-intake", lambda: {"max_attempts": MAX_TRIES, "site_types": tuple(settings.sites)}
        )
        self._changes = Changes(self._staging, Releasing(servers), settings.limits.reinstalls_per_hour)
        self.reinstall, self.cancel = self._changes.reinstall, self._changes.cancel
        self.announce_again = self._staging.announce_again

    def orders(self) -> Handlers:
        """What producers send."""
        return {OrderPlaced: self.place, OrderReinstallRequested: self.reinstall, OrderCancelled: self.cancel}

    def commands(self) -> Handlers:
        """What staff ask of any order."""
        return {**self._changes.by_staff(), ServiceDescribe: self._description.answer}

    def news(self) -> Handlers:
        """What the installer says of the installs that we staged."""
        return {
            InstallStarted: partial(self.hear, "installing"),
            InstallCompleted: partial(self.hear, "installed"),
            InstallFailed: partial(self.hear, "failed"),
            InstallCancelled: self.hear_cancelled,
        }

    def place(self, uow: UnitOfWork, event: Event[OrderPlaced]) -> Outcome | Effect:
        """A new order: claim it and create its account. The same order again changes nothing; another
        one under its id is rejected."""
        order = accounts.find(uow, event.data.order_id)
        # What is sold now decides about new orders, not about those that we have.
        return self._place_again(uow, event, order) if order else self._place_new(uow, event)

    def _place_new(self, uow: UnitOfWork, event: Event[OrderPlaced]) -> Outcome | Effect:
        placed = event.data
        if errors := self._errors(placed):
            return reject(uow, event, "invalid_order", *errors)
        alone(uow.connection, "orders")  # of two at once for neighbouring domains, or for one turn, each sees the other
        if self._names.is_anothers(uow, placed):
            return _reject_domain(uow, event)
        order = moves.accept(uow, placed, self._settled(uow, event))
        if order is None:
            return Retry(uow.now + _PAUSE, INTAKE.cause("in_progress", "another worker takes this order"))
        if order.lease_until > uow.now and order.tries == 0:
            return Retry(order.lease_until, INTAKE.cause("in_progress", "its producer may place no more just now"))
        return self._create(order)

    def _settled(self, uow: UnitOfWork, event: Event[OrderPlaced]) -> Acceptance:
        placed, site = event.data, self._settings.sites[event.data.site_type]
        return Acceptance(
            event_id=event.id,
            source=event.source,
            user_id=uow.sender.user_id,
            title=placed.blog_name or site.blog_name,
            locale=placed.locale,
            timezone=placed.timezone,
            permalinks=placed.permalinks,
            server=placed.server or self._settings.default_server,
            turn_at=limits.turn(uow, uow.sender.user_id, self._settings.limits.orders_per_minute),
            trace=trace_of(event),
        )

    def _place_again(self, uow: UnitOfWork, event: Event[OrderPlaced], order: Order) -> Outcome | Effect:
        # From its row, where server, title and customer are settled. Nobody else's word for it counts.
        woken = uow.sender.is_ourselves and event.source == uow.source
        if not order.is_of(event.source, uow.sender) or not (woken or order.digest == accounts.digest(event.data)):
            return reject_order_id(
                uow, event, "order_conflict", "is taken by an order with other content, or another's"
            )
        if order.state in (OrderState.CREATED, OrderState.CANCELLED):
            return Done() if woken else _known(uow, order, event)
        if order.lease_until > uow.now:
            moves_it = woken or event.id == order.event_id or order.state == OrderState.FAILED
            waits = INTAKE.cause("in_progress", "another worker has it, or it waits its turn")
            return Retry(order.lease_until, waits) if moves_it else _known(uow, order, event)
        if order.state == OrderState.FAILED:
            return self._try_failed(uow, event, order)
        return self._take_over(uow, event, order)

    def _try_failed(self, uow: UnitOfWork, event: Event[OrderPlaced], order: Order) -> Outcome | Effect:
        """It has given its domain back, and may find that it is another's by now."""
        alone(uow.connection, "orders")
        if self._names.is_anothers(uow, event.data):
            return _reject_domain(uow, event)
        return self._take_over(uow, event, order)

    def _take_over(self, uow: UnitOfWork, event: Event[OrderPlaced], order: Order) -> Outcome | Effect:
        if hopeless := self._hopeless(order):
            return self._give_up(uow, order, event, hopeless)
        taken = moves.take_over(uow, order, event.id)
        return self._create(taken) if taken else Done()

    def _hopeless(self, order: Order) -> Cause | None:
        """Why the order's account is not to be tried again, if so."""
        if order.state == OrderState.ACCEPTED and order.tries_now > MAX_TRIES:
            lost = f"{order.tries_now} workers were lost while they created this account"
            return INTAKE.cause("worker_lost", lost)
        return self._staging.unknown(order)

    def _create(self, order: Order) -> Effect:
        return Effect(order, self._create_account, self._record_account, self._record_failure, release_claim)

    def tell_known(self, uow: UnitOfWork, event: Event[Any]) -> None:
        """The same event again: whoever waits for what comes of it hears how far the order is."""
        order = accounts.find(uow, event.data.order_id) if isinstance(event.data, OrderPlaced) else None
        if order and order.is_of(event.source, uow.sender):
            _known(uow, order, event)

    def renew_leases(self, database: Database) -> None:
        """Tell the table that we are still at work on what we have claimed, however slow the servers."""
        if held := self.leases.held():
            with database.begin() as uow:
                moves.renew(uow, held)

    def _create_account(self, order: Order) -> AccountRef:
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

    def _record_account(self, uow: UnitOfWork, order: Order, event: Event[OrderPlaced], account: AccountRef) -> Outcome:
        if self._staging.created(uow, order, account, event):
            _log.info("account.created", order_id=order.order_id, username=order.username, server=order.server)
        elif late := moves.made_too_late(uow, order):
            self._staging.take_back(uow, late)
        return Done()

    def _record_failure(self, uow: UnitOfWork, order: Order, event: Event[OrderPlaced], cause: Cause) -> Outcome:
        if cause.kind == CauseKind.CAPACITY and order.waits < MAX_WAITS:
            again_at = uow.now + min(_PAUSE * 2 ** min(order.waits, 6), _LONGEST_PAUSE)
            moves.put_off(uow, order, cause, again_at)
            _log.warning(
                "account.put_off", order_id=order.order_id, cause=cause.code, reason=cause.detail, due_at=again_at
            )
            return Retry(again_at, cause)
        if order.tries_now >= MAX_TRIES:
            return self._give_up(uow, order, event, cause)
        if cause.code == "username_taken":
            moves.released(uow, order, cause, accounts.candidate(order.domain, order.order_id, order.tries), uow.now)
            return Retry(uow.now, cause)
        if cause.kind == CauseKind.TRANSIENT:
            again_at = uow.now + _PAUSE * 2 ** (order.tries_now - 1)
            moves.released(uow, order, cause, order.username, again_at)
            return Retry(again_at, cause)
        return self._give_up(uow, order, event, cause)

    def _give_up(self, uow: UnitOfWork, order: Order, event: Event[OrderPlaced], cause: Cause) -> Outcome:
        failed = moves.failed(uow, order, cause)
        if failed is None:
            return Done()
        self._staging.take_back(uow, failed)
        news = AccountFailed(order_id=order.order_id, cause=cause, next=after_failure(order.order_id))
        uow.emit(news, order.order_id, event)
        _log.error("account.failed", order_id=order.order_id, cause=cause.code, reason=cause.detail)
        return Park(cause)

    def hear(
        self,
        state: str,
        uow: UnitOfWork,
        event: Event[InstallStarted] | Event[InstallCompleted] | Event[InstallFailed],
    ) -> Outcome:
        """The installer has the install: nothing more to announce."""
        moves.heard(uow, event.data.order_id, event.data.generation, state)
        return Done()

    def hear_cancelled(self, uow: UnitOfWork, event: Event[InstallCancelled]) -> Outcome:
        """The install will not run, whoever took it back. If its order was, too, the domain is free."""
        about = event.data
        order = moves.heard_cancelled(uow, about.order_id, about.generation, about.reason)
        if order and order.gives_domain_back:
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


def _known(uow: UnitOfWork, order: Order, event: Event[OrderPlaced]) -> Outcome:
    """Nothing is to be done; whoever sent the order again hears how far it is."""
    install = install_id(order.order_id, order.generation) if order.generation else None
    known = OrderKnown(
        order_id=order.order_id,
        event_id=event.id,
        state=order.state,
        placed_at=order.created_at,
        install_id=install,
        install_state=_INSTALL_STATES.get(order.install_state, order.install_state) if install else None,
    )
    uow.emit(known, order.order_id, event)
    return Done()


def _reject_domain(uow: UnitOfWork, event: Event[OrderPlaced]) -> Outcome:
    message = "is below or above a domain of another customer"
    return reject(uow, event, "domain_conflict", FieldError(field="data.domain", message=message))
