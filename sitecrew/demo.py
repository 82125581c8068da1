"""The demonstration: real orders, from their events to a login with the credentials of their letters."""

import argparse
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from html import unescape
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import httpx2
from rich.console import Console

from foundation.broker import Message, codec
from foundation.broker.rabbit import RabbitBroker
from foundation.errors import SitecrewError
from foundation.runtime import logs
from foundation.runtime.service import broker_of
from foundation.runtime.settings import load, variables
from foundation.runtime.tx import new_id
from schemas import catalogue
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from sitecrew.machine import Plan, Running, stack
from sitecrew.show import Life, Show
from sitecrew.stack.login import read_credentials, wordpress_login
from sitecrew.stack.mailbox import Mailbox, read_message

_ROOT = Path(__file__).parent.parent
_EXAMPLES = _ROOT / "examples" / "orders"
_SETTLE_SECONDS = 2
_TICK = "*/3 * * * * *"
_PATIENCE = 120.0
"""Seconds that the first order may take; each further one gets two more."""

_EPILOG = """examples:
  script/demo                     one WordPress, from the order to the login
  script/demo --orders 20         twenty of them
  script/demo --site static       a plain page: needs no PHP and no database
  script/demo --keep              leave it running afterwards, to look around

What happens is shown on stderr; the last line on stdout is one JSON object.
SITECREW_AMQP_URL, if it is set, names the broker to use instead of a private one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 only if every order came to a site that answers, a letter that arrived
    and, where there is something to log in to, a login that worked."""
    options = _options(arguments)
    console = Console(stderr=True, highlight=False)
    logs.configure("demo", "warning", sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    plan = _plan(options)
    shutil.rmtree(plan.directory, ignore_errors=True)
    show = Show(console)
    try:
        with stack(plan, show.say, show.log_line) as running:
            _demonstrate(running, _orders(options.site, options.orders), show)
            if options.keep:
                _keep(running, show)
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
        description="Runs all of Sitecrew on this machine, places orders and proves what came of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--orders", type=int, default=1, metavar="N", help="how many orders to place (default 1)")
    parser.add_argument("--site", choices=("wordpress", "static"), default="wordpress", help="what they order")
    parser.add_argument("--keep", action="store_true", help="keep everything running until Ctrl-C")
    options = parser.parse_args(arguments)
    if options.orders < 1:
        parser.error("--orders: at least 1")
    return options


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _plan(options: argparse.Namespace) -> Plan:
    site = f"sites.{options.site}"
    return Plan(
        directory=_ROOT / "var" / "demo",
        site_types=(options.site,),
        amqp_url=variables().get("SITECREW_AMQP_URL"),
        settings={"timer.every": _TICK, f"{site}.settle_seconds": _SETTLE_SECONDS},
    )


def _orders(site: str, number: int) -> list[Event[OrderPlaced]]:
    """The example order, and variations of it with an id, a domain and a title of their own."""
    example = codec.decode((_EXAMPLES / f"{site}.json").read_bytes())
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


def _demonstrate(running: Running, orders: list[Event[OrderPlaced]], show: Show) -> None:
    broker = broker_of(load(running.config), "sitecrew demo")
    stop = threading.Event()
    guard = threading.Thread(target=running.supervise, args=(stop, show.say), daemon=True)
    guard.start()
    try:
        broker.declare()
        watcher = broker.watch("events", "#")
        lives = _place(broker, orders, show)
        ends = monotonic() + _PATIENCE + 2 * len(orders)
        while not show.all_ended():
            if monotonic() > ends:
                raise SitecrewError(
                    f"not every order was through in time; see the logs in {running.plan.directory}/log"
                )
            show.seen(watcher.take(100, timeout=0.1))
        show.close()
        _prove(running, lives, show)
        sys.stdout.write(json.dumps(_report(lives, running, broker.version())) + "\n")
        sys.stdout.flush()
    finally:
        stop.set()
        guard.join()
        broker.close()


def _place(broker: RabbitBroker, orders: list[Event[OrderPlaced]], show: Show) -> list[Life]:
    entry = catalogue.by_model(OrderPlaced)
    lives = [show.placed(order) for order in orders]
    messages = [
        Message(entry.exchange, entry.routing_key, codec.encode(order), order.id, order.type, order.subject or "")
        for order in orders
    ]
    outcomes = set(broker.publisher().publish(messages))
    if outcomes != {"confirmed"}:
        raise SitecrewError(f"the broker did not take the orders: {', '.join(outcomes)}")
    return lives


def _prove(running: Running, lives: list[Life], show: Show) -> None:
    """Look at what a customer would see. Raises SitecrewError at the first thing that is not true."""
    for life in lives:
        if life.failure:
            raise SitecrewError(f"order {life.order.order_id}: {life.failure}")
    _find_letters(running.mailbox, lives)
    for life in lives:
        _check_home_page(life)
        life.logged_in = _log_in(life)
    show.letter(lives[0], read_message(Path(lives[0].letter or "")))
    show.verdict(lives)
    show.proven = True


def _find_letters(mailbox: Mailbox, lives: list[Life]) -> None:
    received = mailbox.messages()
    for life in lives:
        mine = [letter for letter in received if life.order.customer.email in letter.recipients]
        if len(mine) != 1:
            raise SitecrewError(f"order {life.order.order_id} has {len(mine)} letters instead of one")
        life.letter = str(mine[0].path)


def _check_home_page(life: Life) -> None:
    page = httpx2.get(life.completed.site.url, timeout=30, follow_redirects=True)
    title = str(life.completed.site.title)
    # WordPress beautifies quotes and dashes on its pages, so letters and digits decide.
    shown, wanted = (_letters(text) for text in (unescape(page.text), title))
    if page.status_code != httpx2.codes.OK or wanted not in shown:
        raise SitecrewError(f"{life.completed.site.url} answers {page.status_code} without its title {title!r}")


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _log_in(life: Life) -> bool | None:
    """Log in with what the letter says; None where there is nothing to log in to."""
    login = life.completed.login
    if login is None:
        return None
    if not wordpress_login(login.login_url, life.completed.site.url, read_credentials(Path(life.letter or ""))):
        raise SitecrewError(f"the credentials in {life.letter} do not log in at {login.login_url}")
    return True


def _report(lives: list[Life], running: Running, broker_version: str) -> dict[str, Any]:
    reports = [life.report() for life in lives]
    common = {"broker_version": broker_version, "amqp_url": running.amqp_url}
    return {**reports[0], **common, "orders": reports} if len(reports) > 1 else {**reports[0], **common}


def _keep(running: Running, show: Show) -> None:
    config = running.config
    show.say(f"everything keeps running: sitecrew --config {os.path.relpath(config)} installs list; Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        running.supervise(threading.Event(), show.say)


if __name__ == "__main__":
    sys.exit(main())
