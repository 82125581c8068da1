"""Orders and the accounts made from them: order intake's table, and every change to it.

accepted -> created | failed ;  accepted | created | failed -> cancelled ;  failed -> accepted (again) ;
cancelled -> created (the cancel came too late: the site is there)
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
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
    bindparam,
    case,
    or_,
    select,
    update,
)

from foundation.runtime.tracing import Trace
from foundation.runtime.tx import Tx
from foundation.store import Kept, Utc
from foundation.store.counts import by_state
from foundation.store.insert import insert_new
from foundation.store.types import metadata
from schemas.orders import OrderPlaced
from schemas.values import AccountRef, Cause, Customer
from services.order_intake import states

OrderState = states.OrderState


orders = Table(
    "orders",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("site_type", String(32), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("customer", Kept(Customer), nullable=False),
    Column("title", String(200), nullable=False),
    Column("server", String(64), nullable=False),
    Column("username", String(16), nullable=False),
    Column("account", Kept(AccountRef)),
    Column("cause", Kept(Cause)),
    Column("tries", Integer, nullable=False),
    Column("tries_before", Integer, nullable=False),
    Column("lease_until", Utc, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("install_state", String(16), nullable=False),
    Column("has_site", Boolean, nullable=False),
    Column("cancel_reason", String(200)),
    Column("announcements", Integer, nullable=False),
    Column("announce_at", Utc),
    Column("trace", Kept(Trace), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    UniqueConstraint("server", "username"),
    Index("ix_orders_announce_at", "announce_at"),
)

_LEASE = timedelta(seconds=30)
"""How long a worker may be silent before another may create its account."""
_PATIENCE = timedelta(minutes=10)
"""How long after it should have begun an install may be silent before it is announced again; doubles. Also how
long after its lease an order may be without an account before it is woken."""
_ANNOUNCEMENTS = 20
"""After so many, in about a week, the installer is taken to know the install."""


@dataclass(frozen=True)
class Order:
    """One order as it stands in the table."""

    order_id: str
    digest: str
    state: OrderState
    site_type: str
    domain: str
    customer: Customer
    title: str
    server: str
    username: str
    account: AccountRef | None
    tries: int
    tries_before: int
    """Those that were used up before the order, having failed, was sent again."""
    lease_until: datetime
    generation: int
    install_state: str
    """What was last heard of the newest install."""
    has_site: bool
    """Whether an install of the order was completed."""
    cancel_reason: str | None
    trace: Trace
    """Of the event that ordered the newest install."""

    @property
    def tries_now(self) -> int:
        """How often it was claimed since it was sent, or sent again."""
        return self.tries - self.tries_before


def digest(order: OrderPlaced) -> str:
    """What tells the same order from another one with the same id."""
    return sha256(order.model_dump_json().encode()).hexdigest()


def find(tx: Tx, order_id: str) -> Order | None:
    """The order, which nobody else can change before this transaction ends."""
    row = tx.execute(select(orders).where(orders.c.order_id == order_id).with_for_update()).mappings().first()
    return _order(row) if row else None


def accept(tx: Tx, placed: OrderPlaced, title: str, server: str, trace: Trace) -> Order | None:
    """Write a new order down, with a username that nobody has, and claim it. None if the order is
    known already."""
    for number in range(100):
        row = _new_row(tx, placed, title, server, candidate(placed.domain, placed.order_id, number), trace)
        if insert_new(tx.connection, orders, row):
            return _order(row)
        if find(tx, placed.order_id):
            return None
    raise RuntimeError("no free username in a hundred candidates")  # 32^4 endings each


def take_over(tx: Tx, order: Order) -> Order | None:
    """Claim an order whose worker was lost, or that failed; None if another was faster."""
    before = order.tries if order.state == OrderState.FAILED else order.tries_before
    changes = {"tries": order.tries + 1, "tries_before": before, "cause": None, **_leased_until(tx.now + _LEASE)}
    return _move(tx, order, OrderState.ACCEPTED, **changes)


def renew(tx: Tx, held: dict[str, int]) -> None:
    """Extend the leases of orders whose accounts are being created, given with their tries."""
    ours = or_(*[(orders.c.order_id == id) & (orders.c.tries == tries) for id, tries in held.items()])
    tx.execute(
        update(orders).where(orders.c.state == OrderState.ACCEPTED, ours).values(**_leased_until(tx.now + _LEASE))
    )


def created(tx: Tx, order: Order, account: AccountRef, begins_at: datetime) -> Order | None:
    """The account exists and its first install is staged, to begin then; None if the order was cancelled or
    taken over meanwhile."""
    return _move(tx, order, OrderState.CREATED, account=account, generation=1, **_announced(begins_at, 0))


def failed(tx: Tx, order: Order, cause: Cause) -> Order | None:
    return _move(tx, order, OrderState.FAILED, cause=cause, announce_at=None)


def released(tx: Tx, order: Order, cause: Cause, username: str) -> Order | None:
    """Left for another try, perhaps under another username."""
    return _move(
        tx,
        order,
        OrderState.ACCEPTED,
        cause=cause,
        username=username,
        **_leased_until(tx.now),
    )


def given_back(tx: Tx, order: Order) -> Order | None:
    """Left for another worker at once; the claim was no try."""
    before = order.tries_before + 1
    return _move(tx, order, OrderState.ACCEPTED, tries_before=before, **_leased_until(tx.now))


def cancelled(tx: Tx, order: Order, reason: str) -> Order | None:
    """The newest install is not wanted; nor is the order, unless it has a site already. The cancel is
    repeated until the install is over."""
    state = OrderState.CREATED if order.has_site else OrderState.CANCELLED
    announced = _announced(tx.now, 0) if order.state == OrderState.CREATED else {"announce_at": None}
    return _move(tx, order, state, cancel_reason=reason, **announced)


def next_generation(tx: Tx, order: Order, title: str, begins_at: datetime, trace: Trace) -> Order | None:
    """The order's next install is staged, to begin then; None if another was faster."""
    generation = order.generation + 1
    fresh = {"install_state": "", "cancel_reason": None, **_announced(begins_at, 0)}
    return _move(tx, order, order.state, generation=generation, title=title, trace=trace, **fresh)


def announced_again(tx: Tx, order: Order, begins_at: datetime, number: int) -> None:
    """The install, to begin then, or its cancel was published once more, after `number` times before."""
    _move(tx, order, order.state, **_announced(begins_at, number))


OVER = ("installed", "cancelled")
"""What an install of which nothing more comes was last heard to be."""

_HEARD = update(orders).where(
    orders.c.order_id == bindparam("of_order"), orders.c.generation == bindparam("of_generation")
)
_HEARD_BUT_NOT_OVER = _HEARD.where(orders.c.install_state.not_in(OVER)).values(
    announce_at=case((orders.c.cancel_reason.is_(None), None), else_=orders.c.announce_at)
)
"""What was published before the end may be delivered after it."""
_SITE_IS_THERE = (
    update(orders)
    .where(orders.c.order_id == bindparam("of_order"))
    .values(
        has_site=True, state=case((orders.c.state == OrderState.CANCELLED, OrderState.CREATED), else_=orders.c.state)
    )
)


def heard(tx: Tx, order_id: str, generation: int, install_state: str) -> None:
    """The installer has the install: it needs no more announcing. Its cancel does, until it is over: one
    that runs, and cannot be cancelled, may yet be staged again."""
    about = {"of_order": order_id, "of_generation": generation, "install_state": install_state}
    if install_state == "installed":
        tx.execute(_SITE_IS_THERE, {"of_order": order_id})
    if install_state in OVER:
        tx.execute(_HEARD, {**about, "announce_at": None})
    else:
        tx.execute(_HEARD_BUT_NOT_OVER, about)


def woken(tx: Tx, order: Order) -> OrderPlaced:
    """An accepted order that no message moves any more, as it can be delivered once more."""
    _move(tx, order, order.state, announce_at=tx.now + _PATIENCE)
    return OrderPlaced(
        order_id=order.order_id,
        site_type=order.site_type,
        domain=order.domain,
        customer=order.customer,
        server=order.server,
        blog_name=order.title,
    )


def silent(tx: Tx, limit: int = 100) -> list[tuple[Order, int]]:
    """Accepted orders that nobody is at work on, and others of whose install, or of its cancel, nothing was
    heard in time; and how often that was announced."""
    due = (
        select(orders)
        .where(orders.c.announce_at < tx.now, orders.c.state != OrderState.FAILED)
        .order_by(orders.c.announce_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(_order(row), row["announcements"]) for row in tx.execute(due).mappings()]


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


def _new_row(tx: Tx, placed: OrderPlaced, title: str, server: str, username: str, trace: Trace) -> dict[str, Any]:
    return {
        "order_id": placed.order_id,
        "digest": digest(placed),
        "state": OrderState.ACCEPTED,
        "site_type": placed.site_type,
        "domain": placed.domain,
        "customer": placed.customer,
        "title": title,
        "server": server,
        "username": username,
        "account": None,
        "cause": None,
        "tries": 1,
        "tries_before": 0,
        "generation": 0,
        "install_state": "",
        "has_site": False,
        "cancel_reason": None,
        "announcements": 0,
        "trace": trace,
        **_leased_until(tx.now + _LEASE),
        "created_at": tx.now,
        "updated_at": tx.now,
    }


def _announced(begins_at: datetime, number: int) -> dict[str, Any]:
    """When to publish the install again if nothing is heard of it."""
    again_at = begins_at + _PATIENCE * 2 ** min(number, 6) if number < _ANNOUNCEMENTS else None
    return {"announcements": number + 1, "announce_at": again_at}


def _leased_until(end: datetime) -> dict[str, Any]:
    """A claim that ends then, and when to wake the order if nobody has taken it by itself."""
    return {"lease_until": end, "announce_at": end + _PATIENCE}


_AS_WE_SAW_IT = update(orders).where(
    orders.c.order_id == bindparam("seen_order_id"),
    orders.c.state == bindparam("seen_state"),
    orders.c.tries == bindparam("seen_tries"),
    orders.c.generation == bindparam("seen_generation"),
)
"""`tries` is the fencing token: it grows with every claim."""


def _move(tx: Tx, order: Order, state: OrderState, **changes: Any) -> Order | None:
    """Change an order that is still as we saw it; None if it is not."""
    seen = {f"seen_{name}": getattr(order, name) for name in ("order_id", "state", "tries", "generation")}
    changed = tx.execute(_AS_WE_SAW_IT, {**seen, **changes, "state": state, "updated_at": tx.now}).rowcount == 1
    kept = {name: value for name, value in changes.items() if name in Order.__dataclass_fields__}
    return replace(order, state=state, **kept) if changed else None


def _order(row: Any) -> Order:
    return Order(
        order_id=row["order_id"],
        digest=row["digest"],
        state=OrderState(row["state"]),
        site_type=row["site_type"],
        domain=row["domain"],
        customer=row["customer"],
        title=row["title"],
        server=row["server"],
        username=row["username"],
        account=row["account"],
        tries=row["tries"],
        tries_before=row["tries_before"],
        lease_until=row["lease_until"],
        generation=row["generation"],
        install_state=row["install_state"],
        has_site=row["has_site"],
        cancel_reason=row["cancel_reason"],
        trace=row["trace"],
    )
