"""The demonstration: real orders, from their events to a login with the emailed credentials, and to the console."""

import argparse
import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from foundation.broker import Message, codec
from foundation.broker.address import shown
from foundation.broker.rabbit import RabbitBroker
from foundation.clock import utc_now
from foundation.config.settings import load
from foundation.config.sources import variable_of
from foundation.errors import SitecrewError
from foundation.handling.unit_of_work import new_id
from foundation.service.process import broker_of
from foundation.telemetry import logs
from schemas import catalogue
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from sitecrew.demo.pictures import camera, require_browser
from sitecrew.demo.proof import prove
from sitecrew.demo.show import DemoOrder, Show
from sitecrew.stack.claim import claimed
from sitecrew.stack.ending import interrupt_on_signals
from sitecrew.stack.first_admin import ADMIN, first_admin
from sitecrew.stack.machine import Plan, Running, stack
from sitecrew.stack.own_settings import exported
from sitecrew.stack.servers.mailbox import read_message
from sitecrew.stack.up import told_of_variables, what_next

_ROOT = Path(__file__).parents[2]
_EXAMPLES = _ROOT / "examples" / "orders"
_SETTLE_SECONDS = 2
_TICK = "*/3 * * * * *"
_PATIENCE = 120.0
"""Seconds that the first order may take; each further one gets two more."""

_EPILOG = """examples:
  script/demo                     two WordPress, one after the other, from the
                                  order to the console: the second is a copy
  script/demo --orders 20         twenty of them
  script/demo --site static       a plain page: needs no PHP and no database
  script/demo --screenshot        keep pictures of the console and of the site
  script/demo --keep              leave it running afterwards, to look around

What happens is shown on stderr. The last line on stdout says on a terminal
what to look at, and is one JSON object elsewhere, or with --json. Of the
environment, SITECREW_AMQP_URL (a broker to use instead of a private one),
SITECREW_TIMER__*, SITECREW_SITES__* and the installer's concurrency and
attempts count; all else is ignored."""

_FORCED = ("address", "installer", "recipe", "options", "sold", "welcome_email", "level")
"""What the demonstration decides: of a site type, and how much is logged."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 only if every order came to a site that answers, an email that arrived, a login that
    worked where there is something to log in to, and a page of the console that shows all this."""
    options = _options(arguments)
    console = Console(stderr=True, highlight=False)
    logs.configure("demo", "warning", sys.stderr)
    interrupt_on_signals()
    show = Show(console)
    try:
        if options.screenshot:
            require_browser()
        show.say("starting a broker, a web server, a mail catcher and the services in var/demo ...")
        plan = _plan(options, show)
        _clear(plan.directory)
        with stack(plan, show.say, show.log_line) as running:
            password = first_admin(running.config)
            report = _demonstrate(running, _orders(options.site, options.orders), password, show)
            if options.screenshot:
                report["pictures"] = _pictures(running, report, password, show)
            _tell(report, as_json=options.json or not sys.stdout.isatty())
            if options.keep:
                _keep(running, password, show)
            else:
                show.say("with --keep it would go on answering there; now everything is stopped")
    except SitecrewError as error:
        console.print(f"[red]failed[/] {error}")
        return error.exit_code
    except KeyboardInterrupt:
        console.print("interrupted")
        return 0 if options.keep and show.proven else 130
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/demo",
        description="Runs all of Sitecrew on this machine, places orders, proves what came of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--orders", type=int, metavar="N", help="how many orders to place (default: 2; 1 for a static site)"
    )
    parser.add_argument("--site", choices=("wordpress", "static"), default="wordpress", help="what they order")
    parser.add_argument("--json", action="store_true", help="end with a JSON object on a terminal, too")
    parser.add_argument("--screenshot", action="store_true", help="look in a browser, too, and keep pictures")
    parser.add_argument("--keep", action="store_true", help="keep everything running until Ctrl-C")
    options = parser.parse_args(arguments)
    if options.orders is None:
        options.orders = 2 if options.site == "wordpress" else 1
    if options.orders < 1:
        parser.error("--orders: at least 1")
    return options


def _plan(options: argparse.Namespace, show: Show) -> Plan:
    honoured, ignored = exported()
    forced = [name for name in honoured if name.rpartition(".")[2] in _FORCED]
    honoured = {name: value for name, value in honoured.items() if name not in forced}
    for line in told_of_variables(honoured, sorted([*ignored, *map(variable_of, forced)])):
        show.say(line)
    site = f"sites.{options.site}"
    usual = {"timer.every": _TICK, f"{site}.settle_seconds": _SETTLE_SECONDS, "log.level": "debug"}
    return Plan(
        directory=_ROOT / "var" / "demo",
        site_types=(options.site,),
        amqp_url=honoured.pop("amqp_url", None),
        settings={**usual, **honoured},
    )


def _clear(directory: Path) -> None:
    """Begin with nothing; a demonstration that still runs there is left alone. Raises Refused."""
    directory.mkdir(parents=True, exist_ok=True)
    with claimed(directory / "lock", patience=0):
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "lock":
                path.unlink()


def _orders(site: str, number: int) -> list[Event[OrderPlaced]]:
    """The example order, and variations of it with an id, a domain and a title of their own."""
    example = codec.decode((_EXAMPLES / f"{site}.json").read_bytes()).model_copy(update={"time": utc_now()})
    return [example, *(_variation(example, count) for count in range(2, number + 1))]


def _variation(example: Event[OrderPlaced], count: int) -> Event[OrderPlaced]:
    first = example.data
    name, _, rest = first.domain.partition(".")
    changes = {
        "order_id": f"{first.order_id}-{count}",
        "domain": f"{name}{count}.{rest}",
        "customer": first.customer.model_copy(update={"email": f"hello@{name}{count}.{rest}"}),
        "blog_name": f"{first.blog_name} No. {count}",
    }
    placed = first.model_copy(update=changes)
    return example.model_copy(update={"id": new_id(), "subject": placed.order_id, "data": placed})


def _demonstrate(running: Running, orders: list[Event[OrderPlaced]], password: str, show: Show) -> dict[str, Any]:
    broker = broker_of(load(running.config, environment=False), "demo")
    stop = threading.Event()
    guard = threading.Thread(target=running.supervise, args=(stop, show.say), daemon=True)
    guard.start()
    try:
        watcher = broker.watch("events", "#")
        placed: list[DemoOrder] = []
        # One that makes an image, one that is alone to be copied from it, and all others at the same time.
        for some in filter(None, (orders[:1], orders[1:2], orders[2:])):
            placed += _place(broker, some, show)
            ends = monotonic() + _PATIENCE + 2 * len(some)
            while not show.all_ended():
                if monotonic() > ends:
                    raise SitecrewError(
                        f"not every order was through in time; see the logs in {running.plan.directory}/log"
                    )
                show.seen(watcher.take(100, timeout=0.1))
        show.close()
        prove(placed, running, password)
        show.second(placed)
        show.mail(placed[0], read_message(Path(placed[0].mail)))
        show.verdict(placed)
        show.proven = True
        return _report(placed, running, broker.version())
    finally:
        stop.set()
        guard.join()
        broker.close()


def _place(broker: RabbitBroker, orders: list[Event[OrderPlaced]], show: Show) -> list[DemoOrder]:
    entry = catalogue.by_model(OrderPlaced)
    placed = [show.placed(order) for order in orders]
    messages = [
        Message(entry.exchange, entry.routing_key, codec.encode(order), order.id, order.type, order.subject or "")
        for order in orders
    ]
    outcomes = set(broker.publisher().publish(messages))
    if outcomes != {"confirmed"}:
        raise SitecrewError(f"the broker did not take the orders: {', '.join(outcomes)}")
    return placed


def _report(orders: list[DemoOrder], running: Running, broker_version: str) -> dict[str, Any]:
    reports = [order.report() for order in orders]
    broker = {"broker_version": broker_version, "amqp_url": shown(running.logins.urls["shop"])}
    common = {**broker, "amqp_url_file": str(running.login_of("shop")), "console_url": running.console_url}
    return {**reports[0], **common, "orders": reports} if len(reports) > 1 else {**reports[0], **common}


def _pictures(running: Running, report: Mapping[str, Any], password: str, show: Show) -> list[str]:
    folder = running.plan.directory / "pictures"
    with camera(running.console_url, folder) as window:
        window.sign_in(ADMIN, password)
        window.look_at_all(report["order_id"], report["site_url"])
    show.say(f"{len(window.pictures)} pictures of the console and the site are in {os.path.relpath(folder)}")
    return [str(path) for path in window.pictures]


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
    sys.stdout.write(f"{json.dumps(report) if as_json else _in_words(report)}\n")
    sys.stdout.flush()


def _in_words(report: dict[str, Any]) -> str:
    """What a person does with it."""
    first = report["login_url"] or report["site_url"]
    log_in = f", log in with what {os.path.relpath(report['letter'])} says" if report["login_url"] else ""
    others = len(report.get("orders", ())) - 1
    more = f" (and {others} more sites)" if others > 0 else ""
    return f"open {first}{log_in}{more}; the console is at {report['console_url']}"


def _keep(running: Running, password: str, show: Show) -> None:
    show.say("everything keeps running")
    for line in what_next(running, password):
        show.say(line)
    with suppress(KeyboardInterrupt):
        running.supervise(threading.Event(), show.say)
