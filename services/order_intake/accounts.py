"""Orders and the accounts made from them: order intake's table, and what is asked of it. `moves` has every change."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from json import dumps
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    or_,
    select,
)

from foundation.broker.sender import Sender
from foundation.handling.unit_of_work import UnitOfWork
from foundation.store import PydanticJson, Utc
from foundation.store.counts import by_state
from foundation.store.types import Bytewise, metadata
from foundation.telemetry.tracing import Trace
from schemas.orders import OrderPlaced
from schemas.values import AccountRef, Cause, Customer, Model
from services.order_intake import states

OrderState = states.OrderState


class Generations(Model):
    """Which of an order's installs."""

    numbers: tuple[int, ...] = ()

    def also(self, number: int) -> "Generations":
        return Generations(numbers=tuple(sorted({*self.numbers, number})))


orders = Table(
    "orders",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("digest", String(80), nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("source", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("producer", String(255), nullable=False),
    Column("turn_at", Utc, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("site_type", String(32), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("domain_path", Bytewise(254), nullable=False),
    Column("holds_domain", Boolean, nullable=False),
    Column("customer", PydanticJson(Customer), nullable=False),
    Column("title", String(200), nullable=False),
    Column("locale", String(32)),
    Column("timezone", String(64)),
    Column("permalinks", String(200)),
    Column("server", String(64), nullable=False),
    Column("username", String(16), nullable=False),
    Column("account", PydanticJson(AccountRef)),
    Column("cause", PydanticJson(Cause)),
    Column("tries", Integer, nullable=False),
    Column("tries_before", Integer, nullable=False),
    Column("idle_claims", Integer, nullable=False),
    Column("waits", Integer, nullable=False),
    Column("lease_until", Utc, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("install_state", String(16), nullable=False),
    Column("cancelled_installs", PydanticJson(Generations), nullable=False),
    Column("has_site", Boolean, nullable=False),
    Column("cancel_reason", String(200)),
    Column("announcements", Integer, nullable=False),
    Column("announce_at", Utc),
    Column("trace", PydanticJson(Trace), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    UniqueConstraint("server", "username"),
    Index("ix_orders_announce_at", "announce_at"),
    Index("ix_orders_domain_path", "domain_path"),
    Index("ix_orders_domain", "domain"),
    Index("ix_orders_producer_turn_at", "producer", "turn_at"),
)

_DIGEST = "2"
"""The version of the digest, for the day when its rule changes."""


@dataclass(frozen=True)
class Order:
    """One order as it stands in the table."""

    order_id: str
    digest: str
    event_id: str
    """Of the event that moves it: it comes again until the account is there, or has failed."""
    source: str
    """Whose it is: the CloudEvents source that placed it."""
    user_id: str
    """And the broker's user, if the broker vouched for one."""
    state: OrderState
    site_type: str
    domain: str
    holds_domain: bool
    """Whether its account may have the domain at its server."""
    customer: Customer
    title: str
    locale: str | None
    timezone: str | None
    permalinks: str | None
    server: str
    username: str
    account: AccountRef | None
    tries: int
    tries_before: int
    """Those that were used up before the order, having failed, was sent again."""
    idle_claims: int
    """How many of these were claims, and no tries."""
    waits: int
    """How often it was put off because there was no room."""
    lease_until: datetime
    generation: int
    install_state: str
    """What was last heard of the newest install."""
    cancelled_installs: Generations
    """Those of which the installer has said that they will not run."""
    has_site: bool
    """Whether an install of the order was completed."""
    cancel_reason: str | None
    trace: Trace
    """Of the event that ordered the newest install."""
    created_at: datetime

    @property
    def tries_now(self) -> int:
        """How often it was claimed since it was sent, or sent again."""
        return self.tries - self.tries_before

    @property
    def gives_domain_back(self) -> bool:
        """Whether the order will certainly have no site, and its account still holds the domain."""
        over = len(self.cancelled_installs.numbers) >= self.generation
        return over and self.is_to_give_domain_back

    @property
    def is_to_give_domain_back(self) -> bool:
        """Whether it will as soon as all its installs are known to be over."""
        return self.state in (OrderState.FAILED, OrderState.CANCELLED) and self.holds_domain and not self.has_site

    def is_of(self, source: str, sender: Sender) -> bool:
        """Whether it belongs to whoever says so: to the same source and, if the broker vouched for a user when it was
        placed, to him alone. What we wake from our own rows speaks for itself."""
        return sender.is_ourselves or (source == self.source and self.user_id in ("", sender.user_id))


def digest(order: OrderPlaced) -> str:
    """What tells the same order from another one with the same id. Fields that are not given do not count: those
    that a later version adds change no earlier order."""
    given = order.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return f"{_DIGEST}-{sha256(dumps(given, sort_keys=True).encode()).hexdigest()}"


def path_of(domain: str) -> str:
    """The domain from its top down, so that all names below it follow it: `example.shop.` for `shop.example`."""
    return "".join(f"{label}." for label in reversed(domain.split(".")))


def find(uow: UnitOfWork, order_id: str) -> Order | None:
    """The order, which nobody else can change before this transaction ends."""
    row = uow.execute(select(orders).where(orders.c.order_id == order_id).with_for_update()).mappings().first()
    return order_of(row) if row else None


def customers_around(uow: UnitOfWork, domain: str) -> list[Customer]:
    """Whose orders hold a domain that is below or above this one."""
    labels = domain.split(".")
    above = [".".join(labels[number:]) for number in range(1, len(labels) - 1)]
    path = path_of(domain)
    below = (orders.c.domain_path > path) & (orders.c.domain_path < f"{path[:-1]}/")  # "/" follows "."
    around = select(orders.c.customer).where(orders.c.holds_domain, or_(orders.c.domain.in_(above), below))
    return list(uow.execute(around).scalars())


def turn_before(uow: UnitOfWork, producer: str, number: int) -> datetime | None:
    """When the producer's last order but `number` has, or had, its turn."""
    turns = select(orders.c.turn_at).where(orders.c.producer == producer).order_by(orders.c.turn_at.desc())
    return uow.execute(turns.offset(number).limit(1)).scalar()


def counts(connection: Connection) -> dict[OrderState, int]:
    """How many orders are in each state."""
    return by_state(connection, orders.c.state, OrderState)


def candidate(domain: str, order_id: str, number: int) -> str:
    """The `number`th username to try: up to eight letters of the domain and four that depend on the
    order, so that the next order for the same domain gets another."""
    letters = "".join(letter for letter in domain.partition(".")[0].removeprefix("xn--") if letter.isalnum())
    stem = (letters if letters[:1].isalpha() else f"w{letters}")[:8]
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    ending = "".join(alphabet[byte % 32] for byte in sha256(f"{order_id} {number}".encode()).digest()[:4])
    return stem + ending


_FIELDS = tuple(Order.__dataclass_fields__)


def order_of(row: Any) -> Order:
    """What a row of the table says."""
    return Order(**{name: row[name] for name in _FIELDS} | {"state": OrderState(row["state"])})
