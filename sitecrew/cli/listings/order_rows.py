"""Orders as they are shown: the list, and one order with everything that is known about it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from foundation.errors import StoreUnreachable
from services.installer.upcoming import what_next as install_next
from services.order_intake.states import OrderState
from sitecrew.cli.client import session
from sitecrew.cli.listings import activity_rows, install_rows
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.office.interface import Office
from sitecrew.cli.office.seen import MailSeen, OrderSeen, Story, plain_cause
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table, pairs
from sitecrew.cli.output.words import count

_MOST = 100_000
"""How many orders a command acts on at once."""


def show_list(
    office: Office, states: Sequence[OrderState], narrowed: Filters, limit: int, after: str, *, json: bool
) -> None:
    """The list."""
    found, sums = office.orders(states, narrowed, limit, after)
    if json:
        terminal.document([order.record() for order in found])
        return
    if found:
        _table(found)
    else:
        terminal.note("no such order")
    if len(found) == limit:
        terminal.note(f"only the first {limit} are shown; for more: --after {found[-1].order_id}")
    terminal.note("all orders: " + (", ".join(f"{number} {name}" for name, number in sums.items() if number) or "none"))


def failed(office: Office, narrowed: Filters, names: Sequence[str] = ()) -> list[OrderSeen]:
    """Return the orders whose accounts failed; only those of these names, if any are given."""
    found, _ = office.orders([OrderState.FAILED], narrowed, _MOST, "")
    return [order for order in found if not names or order.order_id in names]


def show_choice(chosen: Sequence[OrderSeen], verb: str, *, json: bool) -> None:
    """What a command would act on."""
    if json:
        terminal.document([order.record() for order in chosen])
    elif chosen:
        _table(chosen)
    terminal.note(f"would {verb} {count(len(chosen), 'order')}; nothing was done")


def show_one(office: Office, order_id: str, *, json: bool) -> None:
    """Everything about an order. Raises NotFound."""
    story = office.story(order_id)
    if json:
        terminal.document(_whole(story))
    else:
        _pages(story, session.now())


def what_is_lost(office: Office, order_id: str) -> Sequence[str]:
    """What a re-install deletes, one line each, and last the word to confirm it with; nothing if a database that may
    have the order cannot be read. Raises NotFound if none has it."""
    try:
        story, now = office.story(order_id), session.now()
    except StoreUnreachable:
        return []
    order, found = story.order, story.installs
    done = [install for install in found if install.application and install.finished_at]
    customer = found[-1].customer if found else order.customer if order else None
    domain = (found[-1].domain if found else order.domain if order else None) or order_id
    age = times.relative(done[-1].finished_at or now, now) if done else ""
    site = f"installed {age}: {done[-1].url}" if done else "not installed yet"
    who = f"{customer.name} <{customer.email}>" if customer else ""
    return [f"order {order_id}: {domain}, of {who}, {site}", domain]


def _attempts(order: OrderSeen) -> str:
    if order.tries is None:
        return "-"
    return f"{order.tries}" + (f" ({order.tries_before} before)" if order.tries_before else "")


def _table(found: Sequence[OrderSeen]) -> None:
    headers, beneath = ("ORDER", "DOMAIN", "TYPE", "STATE", "TRY", "INSTALL", "AGE"), ("CAUSE", "REMEDY", "NEXT")
    Table(headers, [_row(order, session.now()) for order in found], ("CUSTOMER", *beneath)).show()


def _row(order: OrderSeen, now: datetime) -> tuple[str, ...]:
    cause = order.shown_cause
    who = f"{order.customer.name} <{order.customer.email}>" if order.customer else "unknown"
    return (
        order.order_id,
        order.domain or "-",
        order.site_type or "-",
        order.state,
        _attempts(order),
        f"g{order.generation} {order.install_state}" if order.generation else "-",
        times.span((now - order.created_at).total_seconds()) if order.created_at else "-",
        f"{who}, account {order.username or '-'} on {order.server or '-'}",
        f"{cause.code}: {cause.detail}" if cause else "",
        cause.remedy if cause else "",
        order.next if order.state == OrderState.FAILED else "",
    )


def _next(story: Story) -> str:
    """What happens next to the order as a whole."""
    order, found = story.order, story.installs
    if order and (order.state in {OrderState.ACCEPTED, OrderState.FAILED} or not found):
        return order.next
    return install_next(found[-1]) if found else ""


def _whole(story: Story) -> dict[str, Any]:
    return {
        "order": story.order.record() if story.order else None,
        "installs": [install.record() for install in story.installs],
        "mails": [_letter_record(mail) for mail in story.mails.values()],
        "next": _next(story) or None,
        **({} if story.history is None else {"history": [line.record() for line in story.history]}),
    }


def _letter_record(mail: MailSeen) -> dict[str, Any]:
    named = ("install_id", "recipient", "state", "attempt", "resends", "sent_at")
    return {**{name: getattr(mail, name) for name in named}, "cause": plain_cause(mail.cause)}


def _pages(story: Story, now: datetime) -> None:
    if story.order:
        pairs(_page(story.order, now))
    for install in story.installs:
        terminal.out()
        mail = story.mails.get(install.install_id)
        pairs(install_rows.short_page(install, mail, now, history=story.history is None))
    terminal.out()
    pairs(
        [
            ("next", _next(story) or "nothing: everything is done"),
            *install_rows.told_since(
                "history", [(line.at, activity_rows.told(line)) for line in story.history or ()], now
            ),
        ]
    )


def _page(order: OrderSeen, now: datetime) -> list[tuple[str, str]]:
    placed = f", placed {times.both(order.created_at, now)}" if order.created_at else ""
    changed = f", {times.relative(order.updated_at, now)}" if order.updated_at else ""
    address = f" ({order.address})" if order.address else ""
    return [
        ("order", f"{order.order_id}{placed} by {order.source}"),
        ("state", f"{order.told_state()}{changed}"),
        ("attempts", _attempts(order)),
        *install_rows.cause_lines(order.shown_cause, ""),
        ("cancelled because", order.cancel_reason or ""),
        ("site", f"{order.site_type}, “{order.title}”, {order.domain}" if order.domain else ""),
        ("customer", f"{order.customer.name} <{order.customer.email}>" if order.customer else ""),
        ("account", f"{order.username} on {order.server}{address}" if order.username else ""),
        ("control panel", order.control_panel or ""),
        ("priority", order.priority or ""),
        ("installs", count(order.generation, "generation") if order.generation else "none yet"),
    ]
