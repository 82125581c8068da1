"""Orders with their accounts: the table, the record, and every transition it can make (docs/lifecycle.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from json import dumps
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Index, Integer, String, Table, UniqueConstraint, text

from foundation.broker.sender import Sender
from foundation.errors import IllegalTransition
from foundation.store import PydanticJson, Utc, lease
from foundation.store.counts import by_state
from foundation.store.frozen import replace
from foundation.store.lease import LeasedRow, Terms
from foundation.store.records import Records
from foundation.store.types import Bytewise, Word, metadata
from foundation.telemetry.tracing import Trace
from schemas.orders import OrderPlaced
from schemas.values import AccountRef, Cause, Customer, Model, Priority
from services.order_intake.states import InstallState, OrderState

S = OrderState

MAX_ATTEMPTS = 6
LEASE = timedelta(seconds=30)
"""How long a worker may be silent before another may create its account."""
OVERDUE = timedelta(minutes=10)
"""How long after it should have begun an install may be silent before it is announced again; doubles. Also how long
after its lease, or its turn, an order may be without an account before it is woken."""
_ANNOUNCEMENTS = 20
"""After so many, in about a week, the installer is taken to know the install."""

TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    S.ACCEPTED: frozenset({S.ACCEPTED, S.CREATED, S.FAILED, S.CANCELLED}),
    S.CREATED: frozenset({S.CREATED, S.CANCELLED}),
    S.FAILED: frozenset({S.ACCEPTED, S.CANCELLED}),
    S.CANCELLED: frozenset({S.CREATED}),  # the cancel came too late: the site is there
}


class Generations(Model):
    """Which of an order's installs."""

    numbers: tuple[int, ...] = ()

    def also(self, number: int) -> "Generations":
        return Generations(numbers=tuple(sorted({*self.numbers, number})))


class Moments(Model):
    """When something happened, the earliest first."""

    times: tuple[datetime, ...] = ()


_WAITS = "waiting_since IS NOT NULL"

orders = Table(
    "orders",
    metadata,
    Column("order_id", Bytewise(64), primary_key=True),
    Column("digest", String(80), nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("source", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("turn_at", Utc, nullable=False),
    Column("state", Word(OrderState), nullable=False, index=True),
    Column("site_type", String(32), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("domain_path", Bytewise(254), nullable=False, index=True),
    Column("holds_domain", Boolean, nullable=False),
    Column("customer", PydanticJson(Customer), nullable=False),
    Column("title", String(200), nullable=False),
    Column("locale", String(32)),
    Column("timezone", String(64)),
    Column("permalinks", String(200)),
    Column("priority", String(8)),
    Column("server", String(200), nullable=False),
    Column("username", Bytewise(16), nullable=False),
    Column("account", PydanticJson(AccountRef)),
    Column("waits", Integer, nullable=False),
    Column("waiting_since", Utc),
    Column("generation", Integer, nullable=False),
    Column("install_state", Word(InstallState), nullable=False),
    Column("cancelled_installs", PydanticJson(Generations), nullable=False),
    Column("has_site", Boolean, nullable=False),
    Column("cancel_reason", String(200)),
    Column("announcements", Integer, nullable=False),
    Column("reinstalls", PydanticJson(Moments), nullable=False),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    *lease.columns(),
    UniqueConstraint("username", "server"),
    Index("ix_orders_user_id_turn_at", "user_id", "turn_at"),
    Index("ix_orders_waiting", "server", "turn_at", sqlite_where=text(_WAITS), postgresql_where=text(_WAITS)),
)


@dataclass(frozen=True, kw_only=True)
class Order(LeasedRow):
    """One order. `due_at` is its turn, or when its account is tried again; `check_at` is when the order is woken, its
    domain given back or its install announced again, unless it has moved by then."""

    order_id: str
    digest: str
    event_id: str
    """Of the event that moves it: it comes again until the account is there, or has failed."""
    source: str
    """Whose it is: the CloudEvents source that placed it."""
    user_id: str
    """And the broker's user, if the broker vouched for one. Those without share their turns."""
    turn_at: datetime
    """When its account might be created: at once, or as its producer's limit had it."""
    state: OrderState = S.ACCEPTED
    site_type: str
    domain: str
    domain_path: str
    holds_domain: bool = True
    """Whether its account may have the domain at its server."""
    customer: Customer
    title: str
    locale: str | None
    timezone: str | None
    permalinks: str | None
    priority: Priority | None = None
    server: str
    username: str
    account: AccountRef | None = None
    waits: int = 0
    """How often it was put off because there was no room."""
    waiting_since: datetime | None = None
    """Since when it waits for its server, which wakes it."""
    generation: int = 0
    install_state: InstallState = InstallState.NONE
    """What was last heard of the newest install."""
    cancelled_installs: Generations = field(default_factory=Generations)
    """Those of which the installer has said that they will not run."""
    has_site: bool = False
    """Whether an install of the order was completed."""
    cancel_reason: str | None = None
    announcements: int = 0
    """How often the newest install, or its cancel, was published."""
    reinstalls: Moments = field(default_factory=Moments)
    """Those of the last hour that its producer asked for."""
    trace: Trace
    """Of the event that ordered the newest install."""
    created_at: datetime
    updated_at: datetime

    # What follows from it

    @property
    def free_at(self) -> datetime:
        """When another attempt may begin: its turn has come, and no worker has it."""
        return max(self.due_at, self.lease_until or self.due_at)

    @property
    def gives_domain_back(self) -> bool:
        """Whether the domain is to be released now: the order has no site, and all its installs are known to be
        over."""
        return len(self.cancelled_installs.numbers) >= self.generation and self.is_to_give_domain_back

    @property
    def is_to_give_domain_back(self) -> bool:
        """Whether the domain is to be released once all installs are known to be over."""
        return self.state in (S.FAILED, S.CANCELLED) and self.holds_domain and not self.has_site

    @property
    def is_installed(self) -> bool:
        """Whether it has its site, and no re-install is under way."""
        return self.has_site and self.install_state in (InstallState.INSTALLED, InstallState.CANCELLED)

    def is_of(self, source: str, sender: Sender) -> bool:
        """Whether it is this sender's: the same source and, if the broker vouched for a user when it was placed, the
        same user. Order intake itself may redeliver any order."""
        return sender.is_ourselves or (source == self.source and self.user_id in ("", sender.user_id))

    def placed(self) -> OrderPlaced:
        """Return the order as an event's data, to redeliver it."""
        return OrderPlaced(
            order_id=self.order_id,
            site_type=self.site_type,
            domain=self.domain,
            customer=self.customer,
            server=self.server,
            blog_name=self.title,
            locale=self.locale,
            timezone=self.timezone,
            permalinks=self.permalinks,
            priority=self.priority,
        )

    # The account

    def started(self, event_id: str, terms: Terms, now: datetime) -> "Order":
        """Return it claimed for an attempt at its account, which this event moves."""
        return self._to(S.ACCEPTED, now, event_id=event_id, holds_domain=True).claimed(terms, now)

    def again(self, now: datetime) -> "Order":
        """Return a failed order accepted once more, with all its attempts ahead of it."""
        return self._to(S.ACCEPTED, now, waits=0).restarted().released(self.due_at, now + OVERDUE)

    def postponed(self, due_at: datetime, cause: Cause, now: datetime) -> "Order":
        """Return it after a failed attempt; the next may begin at `due_at`."""
        return self._to(S.ACCEPTED, now).released(due_at, due_at + OVERDUE, cause)

    def without_room(self, due_at: datetime, cause: Cause, now: datetime) -> "Order":
        """Return it waiting until `due_at` for room on its server, which costs no attempt."""
        return self._to(S.ACCEPTED, now, waits=self.waits + 1).released(due_at, due_at + OVERDUE, cause).unclaimed()

    def waiting(self, again_at: datetime, cause: Cause, now: datetime) -> "Order":
        """Return it waiting for its server, which costs no attempt: until it is woken, or until `again_at`."""
        waiting = self._to(S.ACCEPTED, now, waiting_since=self.waiting_since or now)
        return waiting.released(again_at, again_at + OVERDUE, cause)

    def renamed(self, now: datetime) -> "Order":
        """Return it with another username to try."""
        names = (candidate(self.domain, self.order_id, number) for number in count(self.fence))
        return self._to(S.ACCEPTED, now, username=next(name for name in names if name != self.username))

    def woken(self, now: datetime) -> "Order":
        """Return it after its event was redelivered."""
        return replace(self, check_at=now + OVERDUE, updated_at=now)

    def created(self, account: AccountRef, begins_at: datetime, now: datetime) -> "Order":
        """Return it with its account, and its first install staged, to begin at `begins_at`."""
        staged = self._to(S.CREATED, now, account=account, generation=1, install_state=InstallState.STAGED)
        return staged.ended().announced(begins_at, 0)

    def failed(self, cause: Cause, now: datetime) -> "Order":
        """Return it failed, until it is sent again; its domain is to be released."""
        return self._to(S.FAILED, now).released(self.due_at, now + OVERDUE, cause)

    # The domain

    def releasing(self, terms: Terms, now: datetime) -> "Order":
        """Return it claimed for the release of its domain, which is no attempt."""
        return replace(self.claimed(terms, now).unclaimed(), updated_at=now)

    def let_go(self, now: datetime) -> "Order":
        """Return it without a lease; what the worker was to do is still to be done."""
        return replace(self, updated_at=now).released(self.due_at, now + OVERDUE, self.cause)

    def without_domain(self, now: datetime) -> "Order":
        """Return it after its domain was released: nothing more is to be done."""
        return replace(self, holds_domain=False, updated_at=now).ended(self.cause)

    def too_late(self, now: datetime) -> "Order":
        """Return a cancelled or failed order whose account was created all the same: it holds the domain again."""
        return replace(self.let_go(now), holds_domain=True)

    # What is asked of it

    def cancelled(self, reason: str, now: datetime) -> "Order":
        """Return it cancelled or, if it has a site, with its newest install cancelled. The cancel is announced again
        until the install is over."""
        withdrawn = self._to(S.CREATED if self.has_site else S.CANCELLED, now, cancel_reason=reason, cause=None)
        if self.state == S.CREATED:
            return withdrawn.announced(now, 0)
        # Whoever creates the account just now ends with the lease: then the domain is to be given back.
        look_again = max(now, self.lease_until or now) + OVERDUE
        return replace(withdrawn, check_at=look_again if self.holds_domain else None)

    def amended(self, customer: Customer, now: datetime) -> "Order":
        return replace(self, customer=customer, updated_at=now)

    def reinstalling(self, title: str, trace: Trace, begins_at: datetime, now: datetime) -> "Order":
        """Return it with its next install staged, to begin at `begins_at`."""
        fresh = {"generation": self.generation + 1, "install_state": InstallState.STAGED, "cancel_reason": None}
        return self._to(S.CREATED, now, title=title, trace=trace, **fresh).announced(begins_at, 0)

    # What is heard of its installs

    def announced(self, begins_at: datetime, number: int) -> "Order":
        """Return it after its install, which begins at `begins_at`, or its cancel was announced, `number` times
        before."""
        again_at = begins_at + OVERDUE * 2 ** min(number, 6) if number < _ANNOUNCEMENTS else None
        return replace(self, announcements=number + 1, check_at=again_at)

    def installed(self, generation: int, now: datetime) -> "Order":
        """Return it with its site, even if it was cancelled."""
        order = self._to(S.CREATED, now) if self.state == S.CANCELLED else self
        order = replace(order, has_site=True, updated_at=now)
        if generation != self.generation:
            return order
        return replace(order, install_state=InstallState.INSTALLED, check_at=None)

    def install_failed(self, generation: int, now: datetime) -> "Order":
        """Return it after its newest install failed. Only a cancel is still announced, since staff may retry the
        install."""
        if generation != self.generation or self.install_state != InstallState.STAGED:
            return self
        look_again = self.check_at if self.cancel_reason else None
        return replace(self, install_state=InstallState.FAILED, check_at=look_again, updated_at=now)

    def install_cancelled(self, generation: int, reason: str, now: datetime) -> "Order":
        """Return it after an install was cancelled. Once all installs of a cancelled order are, its domain is to be
        released."""
        order = replace(self, cancelled_installs=self.cancelled_installs.also(generation), updated_at=now)
        if generation == self.generation:
            reason = self.cancel_reason or reason
            # A withdrawn order's cancels are repeated until all its installs are known to be over.
            look_again = order.check_at if order.is_to_give_domain_back else None
            order = replace(order, install_state=InstallState.CANCELLED, cancel_reason=reason, check_at=look_again)
        return order.let_go(now) if order.gives_domain_back else order

    def _to(self, state: OrderState, now: datetime, **changes: Any) -> "Order":
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(self.order_id, self.state, state)
        return replace(self, state=state, updated_at=now, **{"waiting_since": None, **changes})


ORDERS = Records(orders, Order, key="order_id")


def digest(order: OrderPlaced) -> str:
    """What tells the same order from another one with the same id. Fields that are not given do not count: those
    that a later version adds change no earlier order."""
    given = order.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return f"{_DIGEST}-{sha256(dumps(given, sort_keys=True).encode()).hexdigest()}"


_DIGEST = "2"
"""The version of the digest, for the day when its rule changes."""


def path_of(domain: str) -> str:
    """The domain from its top down, so that all names below it follow it: `example.shop.` for `shop.example`."""
    return "".join(f"{label}." for label in reversed(domain.split(".")))


def candidate(domain: str, order_id: str, number: int) -> str:
    """The `number`th username to try: up to eight letters of the domain and four that depend on the
    order, so that the next order for the same domain gets another."""
    letters = "".join(letter for letter in domain.partition(".")[0].removeprefix("xn--") if letter.isalnum())
    stem = (letters if letters[:1].isalpha() else f"w{letters}")[:8]
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    ending = "".join(alphabet[byte % 32] for byte in sha256(f"{order_id} {number}".encode()).digest()[:4])
    return stem + ending


def counts(connection: Connection) -> dict[OrderState, int]:
    """How many orders are in each state."""
    return by_state(connection, orders.c.state, OrderState)
