"""Every change to orders: each is one conditional UPDATE that names the state and the claim that it has seen.

accepted -> created | failed ;  accepted | created | failed -> cancelled ;  failed -> accepted (again) ;
cancelled -> created (the cancel came too late: the site is there)

An order that is cancelled or failed, and never had a site, gives its domain back (`holds_domain`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, or_, select, update

from foundation.handling.unit_of_work import UnitOfWork
from foundation.store.insert import insert_new
from foundation.telemetry.tracing import Trace
from schemas.orders import OrderPlaced
from schemas.values import AccountRef, Cause, Customer
from services.order_intake.accounts import Generations, Order, candidate, digest, find, order_of, orders, path_of
from services.order_intake.states import OrderState

_LEASE = timedelta(seconds=30)
"""How long a worker may be silent before another may create its account."""
_PATIENCE = timedelta(minutes=10)
"""How long after it should have begun an install may be silent before it is announced again; doubles. Also how
long after its lease an order may be without an account before it is woken."""
_ANNOUNCEMENTS = 20
"""After so many, in about a week, the installer is taken to know the install."""


@dataclass(frozen=True)
class Acceptance:
    """What is settled about an order when it is accepted, and stays so."""

    event_id: str
    source: str
    user_id: str
    title: str
    locale: str | None
    timezone: str | None
    permalinks: str | None
    server: str
    turn_at: datetime
    """When its account may be created: at once, or as its producer's limit has it."""
    trace: Trace

    @property
    def producer(self) -> str:
        """Whose turns it takes: a user's whom the broker knows. All others share theirs, whatever source they write."""
        return self.user_id


def accept(uow: UnitOfWork, placed: OrderPlaced, settled: Acceptance) -> Order | None:
    """Write a new order down, with a username that nobody has, and claim it if it is its turn. None if the order is
    known already."""
    for number in range(100):
        row = _new_row(uow, placed, settled, candidate(placed.domain, placed.order_id, number))
        if insert_new(uow.connection, orders, row):
            return order_of(row)
        if find(uow, placed.order_id):
            return None
    raise RuntimeError("no free username in a hundred candidates")  # 32^4 endings each


def take_over(uow: UnitOfWork, order: Order, event_id: str) -> Order | None:
    """Claim an order whose worker was lost, or that failed, for that event; None if another was faster."""
    failed = order.state == OrderState.FAILED
    before, waits = (order.tries, 0) if failed else (order.tries_before, order.waits)
    changes = {"tries": order.tries + 1, "tries_before": before, "waits": waits, "event_id": event_id}
    return _move(
        uow, order, OrderState.ACCEPTED, cause=None, holds_domain=True, **changes, **_leased_until(uow.now + _LEASE)
    )


def claimed_for_release(uow: UnitOfWork, order: Order) -> Order | None:
    """Claim an order that is to give its domain back, so that nobody creates its account meanwhile."""
    changes = {"tries": order.tries + 1, **_no_try(order)}
    return _move(uow, order, order.state, **changes, **_leased_until(uow.now + _LEASE))


def gave_domain_back(uow: UnitOfWork, order: Order) -> Order | None:
    return _move(uow, order, order.state, holds_domain=False, lease_until=uow.now, announce_at=None)


def kept_domain(uow: UnitOfWork, order: Order) -> Order | None:
    """The domain is still to be given back: another look in a while."""
    return _move(uow, order, order.state, **_leased_until(uow.now))


def renew(uow: UnitOfWork, held: dict[str, int]) -> None:
    """Extend the leases of orders whose accounts are being created, given with their tries."""
    ours = or_(*[(orders.c.order_id == id) & (orders.c.tries == tries) for id, tries in held.items()])
    at_work = orders.c.state != OrderState.CREATED
    uow.execute(update(orders).where(at_work, ours).values(**_leased_until(uow.now + _LEASE)))


def created(uow: UnitOfWork, order: Order, account: AccountRef, begins_at: datetime) -> Order | None:
    """The account exists and its first install is staged, to begin then; None if the order was cancelled or
    taken over meanwhile."""
    changes = {"account": account, "generation": 1, "lease_until": uow.now}
    return _move(uow, order, OrderState.CREATED, **changes, **_announced(begins_at, 0))


def failed(uow: UnitOfWork, order: Order, cause: Cause) -> Order | None:
    return _move(uow, order, OrderState.FAILED, cause=cause, **_leased_until(uow.now))


def released(uow: UnitOfWork, order: Order, cause: Cause, username: str, until: datetime) -> Order | None:
    """Left for another try then, perhaps under another username."""
    return _move(uow, order, OrderState.ACCEPTED, cause=cause, username=username, **_leased_until(until))


def put_off(uow: UnitOfWork, order: Order, cause: Cause, until: datetime) -> Order | None:
    """Left until then, when there may be room; the claim was no try."""
    changes = {**_no_try(order), "waits": order.waits + 1, "cause": cause}
    return _move(uow, order, OrderState.ACCEPTED, **changes, **_leased_until(until))


def given_back(uow: UnitOfWork, order: Order) -> Order | None:
    """Left for another worker at once; the claim was no try."""
    return _move(uow, order, order.state, **_no_try(order), **_leased_until(uow.now))


def made_too_late(uow: UnitOfWork, order: Order) -> Order | None:
    """The account was created for an order that has come to nothing meanwhile, and has the domain; the order, if that
    is so."""
    found = find(uow, order.order_id)
    if found is None or found.state not in (OrderState.CANCELLED, OrderState.FAILED):
        return None
    return _move(uow, found, found.state, holds_domain=True, **_leased_until(uow.now))


def cancelled(uow: UnitOfWork, order: Order, reason: str) -> Order | None:
    """The newest install is not wanted; nor is the order, unless it has a site already. The cancel is
    repeated until the install is over."""
    state = OrderState.CREATED if order.has_site else OrderState.CANCELLED
    # The lease's end is for whoever creates the account just now: then the domain is to be given back.
    again_at = order.lease_until + _PATIENCE if order.holds_domain else None
    announced = _announced(uow.now, 0) if order.state == OrderState.CREATED else {"announce_at": again_at}
    return _move(uow, order, state, cancel_reason=reason, **announced)


def amended(uow: UnitOfWork, order: Order, customer: Customer) -> Order | None:
    return _move(uow, order, order.state, customer=customer)


def next_generation(uow: UnitOfWork, order: Order, title: str, begins_at: datetime, trace: Trace) -> Order | None:
    """The order's next install is staged, to begin then; None if another was faster."""
    generation = order.generation + 1
    fresh = {"install_state": "", "cancel_reason": None, **_announced(begins_at, 0)}
    return _move(uow, order, order.state, generation=generation, title=title, trace=trace, **fresh)


def announced_again(uow: UnitOfWork, order: Order, begins_at: datetime, number: int) -> None:
    """The install, to begin then, or its cancel was published once more, after `number` times before."""
    _move(uow, order, order.state, **_announced(begins_at, number))


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


def heard(uow: UnitOfWork, order_id: str, generation: int, install_state: str) -> None:
    """The installer has the install: it needs no more announcing. Its cancel does, until it is over: one
    that runs, and cannot be cancelled, may yet be staged again."""
    about = {"of_order": order_id, "of_generation": generation, "install_state": install_state}
    if install_state == "installed":
        uow.execute(_SITE_IS_THERE, {"of_order": order_id})
    if install_state in OVER:
        uow.execute(_HEARD, {**about, "announce_at": None})
    else:
        uow.execute(_HEARD_BUT_NOT_OVER, about)


def heard_cancelled(uow: UnitOfWork, order_id: str, generation: int, reason: str) -> Order | None:
    """As `heard`, of an install that was cancelled, by whomever. The order as it is then."""
    order = find(uow, order_id)
    if order is None or order.gives_domain_back:  # it has been told so already, and may be at it
        return None
    known = order.cancelled_installs.also(generation)
    changes: dict[str, Any] = {"cancelled_installs": known}
    if order.generation == generation:
        changes |= {"install_state": "cancelled", "cancel_reason": order.cancel_reason or reason}
        if not order.is_to_give_domain_back:  # else the cancels are said again until all installs are known to be over
            changes["announce_at"] = None
    changed = _move(uow, order, order.state, **changes)
    return kept_domain(uow, changed) if changed and changed.gives_domain_back else changed


def woken(uow: UnitOfWork, order: Order) -> OrderPlaced:
    """An order that no message moves any more, as it can be delivered once more."""
    _move(uow, order, order.state, announce_at=uow.now + _PATIENCE)
    return OrderPlaced(
        order_id=order.order_id,
        site_type=order.site_type,
        domain=order.domain,
        customer=order.customer,
        server=order.server,
        blog_name=order.title,
        locale=order.locale,
        timezone=order.timezone,
        permalinks=order.permalinks,
    )


def silent(uow: UnitOfWork, limit: int = 100) -> list[tuple[Order, int]]:
    """Accepted orders that nobody is at work on, those whose domains were not given back, and others of whose install,
    or of its cancel, nothing was heard in time; and how often that was announced."""
    due = (
        select(orders)
        .where(orders.c.announce_at < uow.now)
        .order_by(orders.c.announce_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(order_of(row), row["announcements"]) for row in uow.execute(due).mappings()]


def _new_row(uow: UnitOfWork, placed: OrderPlaced, settled: Acceptance, username: str) -> dict[str, Any]:
    its_turn = settled.turn_at <= uow.now
    return {
        "order_id": placed.order_id,
        "digest": digest(placed),
        "event_id": settled.event_id,
        "source": settled.source,
        "user_id": settled.user_id,
        "producer": settled.producer,
        "turn_at": settled.turn_at,
        "state": OrderState.ACCEPTED,
        "site_type": placed.site_type,
        "domain": placed.domain,
        "domain_path": path_of(placed.domain),
        "holds_domain": True,
        "customer": placed.customer,
        "title": settled.title,
        "locale": settled.locale,
        "timezone": settled.timezone,
        "permalinks": settled.permalinks,
        "server": settled.server,
        "username": username,
        "account": None,
        "cause": None,
        "tries": 1 if its_turn else 0,
        "tries_before": 0,
        "idle_claims": 0,
        "waits": 0,
        "generation": 0,
        "install_state": "",
        "cancelled_installs": Generations(),
        "has_site": False,
        "cancel_reason": None,
        "announcements": 0,
        "trace": settled.trace,
        **_leased_until(uow.now + _LEASE if its_turn else settled.turn_at),
        "created_at": uow.now,
        "updated_at": uow.now,
    }


def _announced(begins_at: datetime, number: int) -> dict[str, Any]:
    """When to publish the install again if nothing is heard of it."""
    again_at = begins_at + _PATIENCE * 2 ** min(number, 6) if number < _ANNOUNCEMENTS else None
    return {"announcements": number + 1, "announce_at": again_at}


def _no_try(order: Order) -> dict[str, int]:
    """One of its claims does not count as a try."""
    return {"tries_before": order.tries_before + 1, "idle_claims": order.idle_claims + 1}


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


def _move(uow: UnitOfWork, order: Order, state: OrderState, **changes: Any) -> Order | None:
    """Change an order that is still as we saw it; None if it is not."""
    seen = {f"seen_{name}": getattr(order, name) for name in ("order_id", "state", "tries", "generation")}
    changed = uow.execute(_AS_WE_SAW_IT, {**seen, **changes, "state": state, "updated_at": uow.now}).rowcount == 1
    kept = {name: value for name, value in changes.items() if name in Order.__dataclass_fields__}
    return replace(order, state=state, **kept) if changed else None
