"""`sitecrew order`: what a producer would send, sent by hand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.broker.topology import EVENTS
from sitecrew.cli.help import examples, noun

if TYPE_CHECKING:
    from foundation.runtime.settings import Settings
    from sitecrew.cli.lives import Life
    from sitecrew.cli.order_files import Order

app = noun("sitecrew order place order.json --wait", "sitecrew order cancel 1042")

_OPTIONS = {
    "order_id": "--order-id",
    "domain": "--domain",
    "site_type": "--site-type",
    "customer.name": "--name",
    "customer.email": "--email",
    "blog_name": "--blog-name",
    "server": "--server",
}
"""How the fields of an order are called on the command line."""

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Follow it until the letter is sent, or it failed.")]
_Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="How long --wait waits.", min=0)]
_OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID", help="The order's id.")]
_Title = Annotated[str | None, typer.Option(metavar="TEXT", help="The site's title.")]


@app.command(
    epilog=examples(
        "sitecrew order place order.json --wait",
        "sitecrew order place - < orders.jsonl",
        "sitecrew order place --order-id 1042 --domain shop.example \\",
        "    --site-type wordpress --name 'A Customer' --email a@example.org",
    )
)
def place(
    ctx: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE|-", help="CloudEvents or bare order data as JSON: one, a list, or one a line."),
    ] = None,
    order_id: Annotated[str | None, typer.Option(metavar="ID", help="Your own order number.")] = None,
    domain: Annotated[str | None, typer.Option(metavar="NAME", help="The site's domain.")] = None,
    site_type: Annotated[str | None, typer.Option(metavar="TYPE", help="What to install, like wordpress.")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="The customer's name.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where the letter goes.")] = None,
    blog_name: _Title = None,
    server: Annotated[str | None, typer.Option(metavar="NAME", help="Where to put the account.")] = None,
    wait: _Wait = False,
    timeout: _Timeout = 900,
    json: _Json = False,
) -> None:
    """Check orders, publish them, and print their ids."""
    from schemas.orders import OrderPlaced
    from sitecrew.cli import sending, session
    from sitecrew.cli.order_files import Order, checked, read, validated

    customer = _given(name=name, email=email)
    options = _given(order_id=order_id, domain=domain, site_type=site_type, blog_name=blog_name, server=server)
    if (file is None) == (not options and not customer):
        raise typer.BadParameter("give either a file or the order's options", ctx=ctx)
    if file is not None:
        orders = checked(read(file))
    else:
        data = validated(OrderPlaced, {**options, "customer": customer}, _OPTIONS)
        orders = [Order(sending.event(data, data.order_id))]
    _send(session.settings_of(ctx), orders, wait=wait, timeout=timeout, json=json)


@app.command(
    epilog=examples("sitecrew order reinstall 1042 --wait", "sitecrew order reinstall 1042 --blog-name 'New name'")
)
def reinstall(
    ctx: typer.Context,
    order_id: _OrderId,
    blog_name: _Title = None,
    wait: _Wait = False,
    timeout: _Timeout = 900,
    json: _Json = False,
) -> None:
    """Install an order's site anew, empty; the old content goes."""
    from schemas.orders import OrderReinstallRequested
    from sitecrew.cli import sending, session
    from sitecrew.cli.order_files import Order, validated

    data = validated(OrderReinstallRequested, {"order_id": order_id, "blog_name": blog_name}, _OPTIONS)
    order = Order(sending.event(data, data.order_id))
    _send(session.settings_of(ctx), [order], wait=wait, timeout=timeout, json=json)


@app.command(epilog=examples("sitecrew order cancel 1042 --reason 'payment failed'"))
def cancel(
    ctx: typer.Context,
    order_id: _OrderId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="For the record.")] = None,
    json: _Json = False,
) -> None:
    """Do not install what is not yet installed; the account stays."""
    from schemas.orders import OrderCancelled
    from sitecrew.cli import sending, session
    from sitecrew.cli.order_files import Order, validated

    data = validated(OrderCancelled, {"order_id": order_id, "reason": reason}, _OPTIONS)
    order = Order(sending.event(data, data.order_id))
    _send(session.settings_of(ctx), [order], wait=False, timeout=0, json=json)


def _send(settings: "Settings", orders: "Sequence[Order]", *, wait: bool, timeout: float, json: bool) -> None:
    from foundation.broker import Outcome
    from sitecrew.cli import screen, sending, session
    from sitecrew.cli.lives import Follower, Life

    messages = [sending.message(order.event, order.body) for order in orders]
    with session.ready_broker(settings) as broker:
        watching = broker.watch(EVENTS, "order.rejected.#", "account.#", "install.#", "mail.#") if wait else None
        with screen.working(f"publishing {len(messages)} event(s)"):
            outcomes = sending.publish(broker, messages)
        sent = [order.event for order, said in zip(orders, outcomes, strict=True) if said == Outcome.CONFIRMED]
        for event in sent if not json else ():
            screen.out(event.data.order_id)
        unmailed = {name for name, site in settings.sites.items() if not site.welcome_email}
        lives = [Life.of(event, unmailed) for event in sent]
        if watching:
            lives = Follower(lives).follow(watching, timeout)
    if json:
        screen.document([life.record() for life in lives])
    sending.require_confirmed(outcomes)
    if wait:
        _finish(lives, timeout)


def _finish(lives: "Sequence[Life]", timeout: float) -> None:
    """Say what is still open, and exit as the orders fared."""
    from sitecrew.cli import screen
    from sitecrew.cli.lives import exit_code

    if waiting := [life.order_id for life in lives if not life.ended]:
        named = ", ".join(waiting[:5]) + (f" and {len(waiting) - 5} more" if len(waiting) > 5 else "")
        screen.error(
            f"not finished after {timeout:g} seconds: {named}",
            "it goes on without us: see `sitecrew installs list --state all`. If nothing was heard of it at all, see "
            "`sitecrew parked list`, and whether the services run; an unchanged order sent twice causes no events",
        )
    if code := exit_code(lives):
        raise typer.Exit(code)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
