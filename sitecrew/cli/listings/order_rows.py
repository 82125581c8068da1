"""Orders as they are shown: the list, and one order with everything the services know about it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from foundation.config.settings import Settings
from foundation.errors import NotFound
from services.installer import listing as installs
from services.installer.installs import Install
from services.installer.upcoming import what_next as install_next
from services.mailer import listing as mails
from services.mailer.mails import Mail
from services.order_intake import listing as orders
from services.order_intake.listing import Wanted
from services.order_intake.orders import Order, counts
from services.order_intake.states import OrderState
from services.order_intake.upcoming import what_next
from sitecrew.cli.client import session
from sitecrew.cli.listings import install_rows
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.listings.records import Records
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table, pairs
from sitecrew.cli.output.words import count


def show_list(
    settings: Settings, states: Sequence[OrderState], narrowed: Filters, limit: int, after: str, *, json: bool
) -> None:
    """The list, from order intake's database."""
    wanted = Wanted(states=states, **narrowed.fields())
    with session.reading(settings, "order-intake") as connection:
        found = orders.listing(connection, wanted, limit, after)
        sums = counts(connection)
    if json:
        terminal.document([_record(order) for order in found])
        return
    if found:
        headers, beneath = ("ORDER", "DOMAIN", "TYPE", "STATE", "TRY", "INSTALL", "AGE"), ("CAUSE", "REMEDY", "NEXT")
        Table(headers, [_row(order, session.now()) for order in found], ("CUSTOMER", *beneath)).show()
    else:
        terminal.note("no such order")
    if len(found) == limit:
        terminal.note(f"only the first {limit} are shown; for more: --after {found[-1].order_id}")
    terminal.note("all orders: " + (", ".join(f"{number} {name}" for name, number in sums.items() if number) or "none"))


def show_one(settings: Settings, order_id: str, *, json: bool) -> None:
    """Everything about an order, from the databases of all services. Raises NotFound if none has it."""
    records = Records(settings)
    order = records.orders(lambda connection: orders.find(connection, order_id), None)
    found = records.installs(lambda connection: installs.of_order(connection, order_id), ())
    letters = records.letters(lambda connection: _letters(connection, found), {})
    records.require_one()
    if order is None and not found:
        records.tell()
        raise NotFound(_unknown(order_id))
    if json:
        terminal.document(_whole(order, found, letters))
        return
    _pages(order, found, letters, session.now())
    records.tell()


def _letters(connection: Connection, found: Sequence[Install]) -> dict[str, Mail]:
    letters = {install.install_id: mails.latest(connection, install.install_id) for install in found}
    return {name: letter for name, letter in letters.items() if letter}


def what_is_lost(settings: Settings, order_id: str) -> Sequence[str]:
    """What a re-install deletes, one line each, and last the word to confirm it with; nothing if a database that may
    have the order cannot be read. Raises NotFound if none has it."""
    records, now = Records(settings), session.now()
    order = records.orders(lambda connection: orders.find(connection, order_id), None)
    found = records.installs(lambda connection: installs.of_order(connection, order_id), ())
    done = [install for install in found if install.completed and install.finished_at]
    if order is None and not found:
        if not records.absent:
            raise NotFound(_unknown(order_id))
        return []
    customer = found[-1].staged.customer if found else order.customer if order else None
    domain = found[-1].domain if found else order.domain if order else ""
    age = times.relative(done[-1].finished_at or now, now) if done else ""
    site = f"installed {age}: {done[-1].staged.site.url}" if done else "not installed yet"
    who = f"{customer.name} <{customer.email}>" if customer else ""
    return [f"order {order_id}: {domain}, of {who}, {site}", domain]


def _unknown(order_id: str) -> str:
    return f"there is no order {order_id}; see `sitecrew order list`, or `sitecrew parked list`"


def denial(settings: Settings, name: str) -> str:
    """Why an order has no install; empty if no order has this id."""
    records = Records(settings)
    order = records.orders(lambda connection: orders.find(connection, name), None)
    if order is None:
        return ""
    cause = f": {order.cause.code}: {order.cause.detail}" if order.cause else ""
    state = f"its account has failed{cause}" if order.state == OrderState.FAILED else f"it is {_state(order)}{cause}"
    return f"order {name} has no install yet: {state}. See `sitecrew order show {name}`"


def _state(order: Order) -> str:
    return "account failed" if order.state == OrderState.FAILED else str(order.state)


def _attempts(order: Order) -> str:
    return f"{order.attempt}" + (f" ({order.attempts_before} before)" if order.attempts_before else "")


def _source(order: Order) -> str:
    """Who placed it: the event's `source`, and the broker's user if that is vouched for."""
    return order.source + (f" ({order.user_id})" if order.user_id else "")


def _install(order: Order) -> str:
    return f"g{order.generation} {order.install_state}" if order.generation else "-"


def _row(order: Order, now: datetime) -> tuple[str, ...]:
    cause = order.cause if order.state in (OrderState.ACCEPTED, OrderState.FAILED) else None
    return (
        order.order_id,
        order.domain,
        order.site_type,
        order.state,
        _attempts(order),
        _install(order),
        times.span((now - order.created_at).total_seconds()),
        f"{order.customer.name} <{order.customer.email}>, account {order.username} on {order.server}",
        f"{cause.code}: {cause.detail}" if cause else "",
        cause.remedy if cause else "",
        what_next(order.order_id, order.state, order.attempt) if order.state == OrderState.FAILED else "",
    )


def _record(order: Order) -> dict[str, Any]:
    named = ("state", "site_type", "domain", "title", "server", "username")
    later = ("generation", "install_state", "cancel_reason", "created_at", "updated_at")
    return {
        "order_id": order.order_id,
        "source": _source(order),
        **{name: getattr(order, name) for name in named},
        "tries": order.attempt,
        "tries_before": order.attempts_before,
        "customer": order.customer.model_dump(mode="json"),
        "address": order.account.address if order.account else None,
        "cause": order.cause.model_dump(mode="json") if order.cause else None,
        "next": what_next(order.order_id, order.state, order.attempt) or None,
        **{name: getattr(order, name) for name in later},
    }


def _next(order: Order | None, found: Sequence[Install]) -> str:
    """What happens next to the order as a whole."""
    of_install = install_next(found[-1]) if found else ""
    if order and order.state in (OrderState.ACCEPTED, OrderState.FAILED):
        return what_next(order.order_id, order.state, order.attempt)
    return of_install or ("" if found or not order else what_next(order.order_id, order.state, order.attempt))


def _whole(order: Order | None, found: Sequence[Install], letters: dict[str, Mail]) -> dict[str, Any]:
    return {
        "order": _record(order) if order else None,
        "installs": [install_rows.record(install) for install in found],
        "mails": [_letter_record(letter) for letter in letters.values()],
        "next": _next(order, found) or None,
    }


def _letter_record(letter: Mail) -> dict[str, Any]:
    return {
        "install_id": letter.install_id,
        "recipient": letter.completed.customer.email,
        "state": letter.state,
        "attempt": letter.attempt,
        "resends": letter.resends,
        "sent_at": letter.sent_at,
        "cause": letter.cause.model_dump(mode="json") if letter.cause else None,
    }


def _pages(order: Order | None, found: Sequence[Install], letters: dict[str, Mail], now: datetime) -> None:
    if order:
        pairs(_page(order, now))
    for install in found:
        terminal.out()
        pairs(install_rows.short_page(install, letters.get(install.install_id), now))
    terminal.out()
    pairs([("next", _next(order, found) or "nothing: everything is done"), ("", "")])


def _page(order: Order, now: datetime) -> list[tuple[str, str]]:
    cause = order.cause if order.state in (OrderState.ACCEPTED, OrderState.FAILED) else None
    panel = order.account.control_panel.url if order.account and order.account.control_panel else ""
    return [
        ("order", f"{order.order_id}, placed {times.both(order.created_at, now)} by {_source(order)}"),
        ("state", f"{_state(order)}, {times.relative(order.updated_at, now)}"),
        ("attempts", _attempts(order)),
        *install_rows.cause_lines(cause, ""),
        ("cancelled because", order.cancel_reason or ""),
        ("site", f"{order.site_type}, “{order.title}”, {order.domain}"),
        ("customer", f"{order.customer.name} <{order.customer.email}>"),
        ("account", f"{order.username} on {order.server}" + (f" ({order.account.address})" if order.account else "")),
        ("control panel", panel),
        ("installs", count(order.generation, "generation") if order.generation else "none yet"),
    ]
