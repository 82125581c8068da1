"""`sitecrew order`: place orders by hand, see how far they are, and what staff can do about them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.order_intake.states import OrderState
from sitecrew.cli import everywhere
from sitecrew.cli.help import examples, known, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import NONE, DryRun, Filters, Json, Limit, Yes

if TYPE_CHECKING:
    from sitecrew.cli.office.interface import Office

app = noun("sitecrew order place order.json --wait", "sitecrew order show 1042", "sitecrew order list --state failed")

_OPTIONS = {
    "order_id": "--order-id",
    "domain": "--domain",
    "site_type": "--site-type",
    "customer.name": "--name",
    "customer.email": "--email",
    "name": "--name",
    "email": "--email",
    "blog_name": "--blog-name",
    "server": "--server",
    "locale": "--locale",
    "timezone": "--timezone",
    "permalinks": "--permalinks",
    "priority": "--priority",
    "reason": "--reason",
}
"""The command line's names for the fields of an order."""

_Follow = Annotated[bool, typer.Option("--wait", help="Follow it until the email is sent, or something fails.")]
_NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the answer.")]
_Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="How long --wait waits.", min=0)]
_Patience = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the answer.", min=0)]
_Order = Annotated[str, typer.Argument(metavar="ORDER", help="The order id.")]
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
        typer.Argument(metavar="FILE|-", help="CloudEvents or bare orders as JSON: one, a list, or one per line."),
    ] = None,
    order_id: Annotated[str | None, typer.Option(metavar="ID", help="Your own order number.")] = None,
    domain: Annotated[str | None, typer.Option(metavar="NAME", help="The site's domain.")] = None,
    site_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="What to install, such as wordpress.", autocompletion=filters.SITE_TYPES),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="The customer's name.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The customer's email address.")] = None,
    blog_name: _Title = None,
    server: Annotated[
        str | None, typer.Option(metavar="NAME", help="The hosting server.", autocompletion=filters.SERVERS)
    ] = None,
    locale: Annotated[str | None, typer.Option(metavar="LOCALE", help="For site and email, such as de_DE.")] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="The site's, such as Europe/Berlin.")] = None,
    permalinks: Annotated[str | None, typer.Option(metavar="TEXT", help="The site's, such as /%postname%/.")] = None,
    priority: Annotated[
        str | None, typer.Option(metavar="PRIORITY", help="How urgent it is: low, normal or high.")
    ] = None,
    wait: _Follow = False,
    timeout: _Timeout = 900,
    json: Json = False,
) -> None:
    """Validate orders, publish them, and print their ids."""
    from schemas.orders import OrderPlaced
    from sitecrew.cli.client import sending
    from sitecrew.cli.client.orders.files import Order, checked, read, validated
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal

    customer = _given(name=name, email=email)
    options = _given(order_id=order_id, domain=domain, site_type=site_type, blog_name=blog_name, server=server)
    options |= _given(locale=locale, timezone=timezone, permalinks=permalinks, priority=priority)
    if (file is None) == (not options and not customer):
        raise typer.BadParameter("give either a file or the order's options", ctx=ctx)
    office = office_of(ctx)
    if file is not None:
        if file == "-" and sys.stdin.isatty():
            terminal.note("reading orders as JSON from the terminal; end with Ctrl-D")
        orders = checked(read(file))
    else:
        data = validated(OrderPlaced, {**options, "customer": customer}, _OPTIONS)
        orders = [Order(sending.event(data, data.order_id))]
    office.warn_of_unknown(orders)
    office.send(orders, wait=wait, timeout=timeout, json=json)


@app.command(
    "import",
    epilog=examples(
        "sitecrew order import pending.csv --dry-run",
        "sitecrew order import pending.csv --site-type wordpress --prefix whmcs.",
    ),
)
def import_orders(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A table with the columns' names in its first row.")],
    site_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="For rows that name none.", autocompletion=filters.SITE_TYPES),
    ] = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Begins each order id.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check, and show what would be placed.")] = False,
    wait: _Follow = False,
    timeout: _Timeout = 900,
    json: Json = False,
) -> None:
    """Place pending installs of another system as orders."""
    from sitecrew.cli.client.orders import table
    from sitecrew.cli.client.orders.files import checked
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.words import count

    office = office_of(ctx)
    documents, left_out = table.read(file, site_type, prefix)
    if left_out:
        terminal.note(f"{count(left_out, 'row')} left out: not pending")
    orders = checked(documents)
    office.warn_of_unknown(orders)
    if not dry_run:
        office.send(orders, wait=wait, timeout=timeout, json=json)
        return
    if json:
        terminal.document([order.event.data.model_dump(mode="json", exclude_none=True) for order in orders])
    for order in orders if not json else ():
        terminal.out(f"{order.event.data.order_id}  {order.event.data.site_type}  {order.event.data.domain}")
    terminal.note(f"{count(len(orders), 'order')} would be placed; nothing was sent")


@app.command(
    "list",
    epilog=examples(
        "sitecrew order list",
        "sitecrew order list --state accepted,failed --since 2d",
        "sitecrew order list --customer miller --json",
    ),
)
@filters.filtered()
def list_orders(
    ctx: typer.Context,
    state: Annotated[
        str,
        typer.Option(
            metavar="STATE,...", help=f"Any of {', '.join(OrderState)}.", autocompletion=filters.states(OrderState)
        ),
    ] = "",
    narrowed: Filters = NONE,
    limit: Limit = 50,
    after: Annotated[str, typer.Option(metavar="ORDER", help="Continue the list after this one.")] = "",
    json: Json = False,
) -> None:
    """List orders, newest first: how far each is, attempts, causes."""
    from sitecrew.cli.listings import order_rows
    from sitecrew.cli.office.opening import office_of

    names = [word.strip() for word in state.split(",") if word.strip()]
    states = [OrderState(word) for word in known(ctx, names, list(OrderState), "--state")]
    order_rows.show_list(office_of(ctx), states, narrowed, limit, after, json=json)


@app.command(epilog=examples("sitecrew order show 1042", "sitecrew order show 1042 --json | jq .next"))
def show(ctx: typer.Context, order: _Order, json: Json = False) -> None:
    """Show everything about an order: account, installs, emails, next step."""
    from sitecrew.cli.listings import order_rows
    from sitecrew.cli.office.opening import office_of

    order_rows.show_one(office_of(ctx), order, json=json)


@app.command(
    epilog=examples(
        "sitecrew order reinstall 1042",
        "sitecrew order reinstall 1042 --blog-name 'New name' --yes --wait",
    )
)
def reinstall(
    ctx: typer.Context,
    order: _Order,
    blog_name: _Title = None,
    yes: Yes = False,
    wait: _Follow = False,
    no_wait: _NoWait = False,
    timeout: _Timeout = 900,
    json: Json = False,
) -> None:
    """Install an order's site again, empty; its content is deleted."""
    from schemas.orders import OrderReinstall
    from sitecrew.cli.client import commands, sending
    from sitecrew.cli.client.orders.files import Order, validated
    from sitecrew.cli.office.opening import office_of

    if wait and no_wait:
        raise typer.BadParameter("choose one of --wait and --no-wait", ctx=ctx)
    data = validated(OrderReinstall, {"order_id": order, "blog_name": blog_name}, _OPTIONS)
    office = office_of(ctx)
    if not yes:
        _require_sure(ctx, office, order)
    if wait:
        office.send([Order(sending.event(data, order))], wait=True, timeout=timeout, json=json)
    else:
        patience = min(timeout, 15)
        commands.carry_out(office, [data], patience, by="order-intake", json=json, wait=not no_wait)


@app.command(epilog=examples("sitecrew order cancel 1042 --reason 'payment failed'"))
def cancel(
    ctx: typer.Context,
    orders: Annotated[list[str], typer.Argument(metavar="ORDER", help="The order ids.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the record.")] = "cancelled by staff",
    no_wait: _NoWait = False,
    timeout: _Patience = 15,
    json: Json = False,
) -> None:
    """Cancel what is not installed yet; the account is kept."""
    from schemas.orders import OrderCancel
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.office.opening import office_of

    wanted = [validated(OrderCancel, {"order_id": order, "reason": reason}, _OPTIONS) for order in orders]
    commands.carry_out(office_of(ctx), wanted, timeout, by="order-intake", json=json, wait=not no_wait)


@app.command(
    epilog=examples(
        "sitecrew order retry 1042",
        "sitecrew order retry --cause server_down --server web1 --dry-run",
        "sitecrew order retry --all-failed",
    )
)
@filters.filtered()
def retry(
    ctx: typer.Context,
    orders: Annotated[list[str] | None, typer.Argument(metavar="ORDER...", help="The order ids.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every order whose account failed.")] = False,
    narrowed: Filters = NONE,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_wait: _NoWait = False,
    timeout: _Patience = 15,
    json: Json = False,
) -> None:
    """Try accounts that failed again, with all their attempts."""
    from schemas.orders import OrderRetry
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.listings import order_rows
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.words import count

    if bool(orders) == (all_failed or narrowed.given):
        wanted = "name the orders to retry, or select failed ones with --all-failed, --cause, --server, ..."
        raise typer.BadParameter(wanted, ctx=ctx)
    office, names = office_of(ctx), orders or []
    if dry_run or not orders:
        chosen = order_rows.failed(office, narrowed, names)
        names = [order.order_id for order in chosen]
        if dry_run:
            order_rows.show_choice(chosen, "retry", json=json)
            return
        if not names:
            terminal.note("no account has failed")
        elif not yes:
            everywhere.require_yes(ctx, f"retry {count(len(names), 'order')}", careful=False)
    asked = [validated(OrderRetry, {"order_id": order}, _OPTIONS) for order in names]
    commands.carry_out(office, asked, timeout, by="order-intake", json=json, wait=not no_wait)


@app.command(epilog=examples("sitecrew order amend 1042 --email new@example.org"))
def amend(
    ctx: typer.Context,
    order: _Order,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="The customer's name.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where later emails go.")] = None,
    no_wait: _NoWait = False,
    timeout: _Patience = 15,
    json: Json = False,
) -> None:
    """Correct the customer's name or email address."""
    from schemas.orders import OrderAmend
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.office.opening import office_of

    if not name and not email:
        raise typer.BadParameter("give --name or --email, or both", ctx=ctx)
    data = validated(OrderAmend, {"order_id": order, **_given(name=name, email=email)}, _OPTIONS)
    commands.carry_out(office_of(ctx), [data], timeout, by="order-intake", json=json, wait=not no_wait)


def _require_sure(ctx: typer.Context, office: "Office", order: str) -> None:
    """Have the site's domain typed, because its content is deleted. Raises NotFound for an unknown order."""
    from sitecrew.cli.listings import order_rows
    from sitecrew.cli.output import terminal

    if not everywhere.may_ask(ctx):
        raise typer.BadParameter("this deletes the site's content; pass --yes to do it without a prompt", ctx=ctx)
    unknown = (f"order {order}, about which no database here has more", order)
    *told, word = order_rows.what_is_lost(office, order) or unknown
    for line in told:
        terminal.warn(line)
    if typer.prompt(f"Its content will be deleted. Type {word} to confirm", err=True).strip().lower() != word.lower():
        raise typer.Abort


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
