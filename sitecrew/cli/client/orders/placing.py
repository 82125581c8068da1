"""Sending events about orders, and following what comes of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from foundation.broker import Confirmation, Consumer
from foundation.broker.topology import EVENTS
from foundation.config.settings import Settings
from sitecrew.cli.client import sending, session
from sitecrew.cli.client.orders.files import Order
from sitecrew.cli.client.orders.following import Follower, exit_code
from sitecrew.cli.client.orders.progress import OrderProgress
from sitecrew.cli.help import not_among
from sitecrew.cli.output import terminal
from sitecrew.cli.output.words import count

_FOLLOWED = ("order.#", "account.#", "install.#", "mail.#", "command.refused.#")


def send(settings: Settings, orders: Sequence[Order], *, wait: bool, timeout: float, json: bool) -> None:
    """Publish events about orders and show their ids; with `wait`, also follow their progress."""
    messages = [sending.message(order.event, order.body) for order in orders]
    with session.ready_broker(settings) as broker:
        watching = broker.watch(EVENTS, *_FOLLOWED) if wait else None
        with terminal.working(f"publishing {count(len(messages), 'event')}"):
            outcomes = sending.publish(broker, messages)
        sent = [order.event for order, said in zip(orders, outcomes, strict=True) if said == Confirmation.CONFIRMED]
        for event in sent if not json else ():
            terminal.out(event.data.order_id)
        unmailed = {name for name, site in settings.sites.items() if not site.welcome_email}
        progress: Sequence[OrderProgress] = [OrderProgress.of(event, unmailed) for event in sent]
        if watching:
            progress = _follow(progress, watching, timeout, json=json)
    if json:
        terminal.document([each.record() for each in progress])
    sending.require_confirmed(outcomes)
    conclude(progress, timeout, wait=wait)


def warn_of_unknown(settings: Settings, orders: Sequence[Order]) -> None:
    """Warn about site types and servers that these settings do not have. Order intake's own settings decide."""
    for order in orders:
        for what, name, those in (
            ("site type", order.event.data.site_type, settings.sites),
            ("server", order.event.data.server, settings.servers),
        ):
            if name and name not in those:
                terminal.warn(f"{order.event.data.order_id}: {not_among(name, those, what)} (by the settings here)")


def _follow(
    started: Sequence[OrderProgress], watching: Consumer, timeout: float, *, json: bool
) -> Sequence[OrderProgress]:
    follower = Follower(started, json=json)
    with interruptible(follower):
        return follower.follow(watching, timeout)


@contextmanager
def interruptible(follower: Follower) -> Iterator[None]:
    """At Ctrl-C, say that it goes on without us, and exit."""
    try:
        yield
    except KeyboardInterrupt:
        left = [each.order_id for each in follower.waiting()]
        terminal.note(f"still in progress: {_named(left)}; follow with `sitecrew order show {left[0]}`")
        raise typer.Exit(130) from None


def conclude(progress: Sequence[OrderProgress], timeout: float, *, wait: bool) -> None:
    """Report orders that have not ended, if they were waited for, and exit with the code that their outcomes call
    for."""
    if not wait:
        if progress:
            first = progress[0].order_id
            terminal.note(f"placed {count(len(progress), 'order')}; follow with `sitecrew order show {first}`")
        return
    if waiting := [each.order_id for each in progress if not each.ended]:
        terminal.error(
            f"not finished after {timeout:g} seconds: {_named(waiting)}",
            f"processing continues: see `sitecrew order show {waiting[0]}`. If nothing has happened at all, see "
            "`sitecrew status` for whether the services run and what is parked",
        )
    if code := exit_code(progress):
        raise typer.Exit(code)


def _named(order_ids: Sequence[str]) -> str:
    return ", ".join(order_ids[:5]) + (f" and {len(order_ids) - 5} more" if len(order_ids) > 5 else "")
