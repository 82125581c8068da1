"""What the demonstration shows on a terminal while its orders are carried out."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from foundation.broker import Delivery, codec
from foundation.clock import utc_now
from foundation.errors import SitecrewError
from schemas.envelope import Event
from schemas.installs import InstallCompleted
from schemas.orders import OrderPlaced
from sitecrew.cli.client.orders.progress import OrderProgress
from sitecrew.demo.console import Shown

_REPORTED = {"account": "account created", "staged": "staged", "installed": "installed", "mailed": "mailed"}
"""The states whose seconds are reported, by the report's names."""


@dataclass
class DemoOrder:
    """One order of the demonstration: how far it is, when it got there, and what its customer received."""

    order: OrderPlaced
    source: str
    """Of its event: which shop placed it."""
    placed_at: datetime
    progress: OrderProgress
    reached: dict[str, datetime] = field(default_factory=dict)
    """When each state was first reached."""
    mail: str = ""
    """The path of the file with the welcome email."""
    logged_in: bool | None = None
    in_console: Shown | None = None
    in_api: Shown | None = None

    @property
    def completed(self) -> InstallCompleted:
        if self.progress.completed is None:
            raise SitecrewError(f"order {self.order.order_id}: nothing is installed")
        return self.progress.completed

    def report(self) -> dict[str, Any]:
        """The order's story in figures; seconds count from the order's publishing."""
        login, account = self.completed.login, self.progress.account
        return {
            "order_id": self.order.order_id,
            "install_id": self.progress.install_id,
            "username": account.username if account else None,
            "site_url": self.completed.site.url,
            "login_url": login.login_url if login else None,
            "letter": self.mail,
            "seconds": {name: self.seconds(self.reached[state]) for name, state in _REPORTED.items()},
            "install_seconds": round(self.install_seconds, 3),
            "logged_in": self.logged_in,
            "console": self.in_console and asdict(self.in_console),
            "api": self.in_api and asdict(self.in_api),
        }

    @property
    def install_seconds(self) -> float:
        """From the worker's claim to the verified site."""
        return (self.reached["installed"] - self.reached["installing"]).total_seconds()

    def seconds(self, moment: datetime) -> float:
        """From the order's publishing to a moment."""
        return round((moment - self.placed_at).total_seconds(), 3)


class Show:
    """Prints what happens as it happens: events from the broker, steps from the services' log lines."""

    def __init__(self, console: Console) -> None:
        self.proven = False
        self._console = console
        self._orders: dict[str, DemoOrder] = {}
        self._steps: list[tuple[datetime, str, Text]] = []
        self._lock = threading.Lock()
        self._status = console.status("") if console.is_terminal else None
        self._image_made = False

    def say(self, text: str) -> None:
        """About the machine rather than an order."""
        self._console.print(f"[dim]         {escape(text)}[/]", soft_wrap=True)

    def placed(self, event: Event[OrderPlaced]) -> DemoOrder:
        """Follow an order from now on."""
        placed = event.data
        order = self._orders[placed.order_id] = DemoOrder(placed, event.source, utc_now(), OrderProgress.of(event))
        self._print(order, order.placed_at, "order", f"{placed.order_id}: {placed.site_type} for {placed.domain}")
        if self._status:
            self._status.start()
        return order

    def log_line(self, _service: str, line: str) -> None:
        """A service's log line: the steps of an install are shown, and whatever is not in order."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
        self._image_made |= said.get("event") == "image.ready"
        step = said.get("event") == "install.step_done"
        if not step and said.get("level") not in ("warning", "error", "critical"):
            return
        text = f"{said['step']} ({said['duration_seconds']:.2f} s)" if step else said.get("reason", "")
        word = "" if step else str(said["event"])
        shown = Text.assemble((f"{word:<10} ", "yellow"), ("  " if step else "", ""), (text, "dim" if step else ""))
        with self._lock:
            self._steps.append((datetime.fromisoformat(said["timestamp"]), str(said.get("order_id")), shown))

    def seen(self, deliveries: Sequence[Delivery]) -> None:
        """Events; they and the steps so far are printed in the order in which they happened."""
        events = [codec.read(delivery) for delivery in deliveries]
        with self._lock:
            steps, self._steps = self._steps, []
        happened: list[tuple[datetime, Event[Any] | tuple[str, Text]]] = [
            *((event.time or utc_now(), event) for event in events),
            *((moment, (order_id, text)) for moment, order_id, text in steps),
        ]
        for moment, what in sorted(happened, key=lambda pair: pair[0]):
            if isinstance(what, Event):
                self._advance(moment, what)
            elif order := self._orders.get(what[0]):
                self._console.print(self._clock(order, moment), what[1])
        self._count_down()

    def all_ended(self) -> bool:
        return all(order.progress.ended for order in self._orders.values())

    def close(self) -> None:
        if self._status:
            self._status.stop()

    def mail(self, order: DemoOrder, message: EmailMessage) -> None:
        text = message.get_body(("plain",))
        content = text.get_content().strip() if text else ""
        shown = f"To: {message['To']}\nSubject: {message['Subject']}\n\n{content}"
        for line in shown.splitlines():
            self._console.print(Text.assemble(("  \N{BOX DRAWINGS LIGHT VERTICAL} ", "cyan"), line), soft_wrap=True)
        self._console.print(f"[dim]         as it came: {escape(order.mail)}[/]")

    def second(self, orders: Sequence[DemoOrder]) -> None:
        """How long the second site took beside the first, of which an image was made."""
        if len(orders) > 1:
            first, second = (order.install_seconds for order in orders[:2])
            before = f"no. 1{' made the image' if self._image_made else ''}: {first:.1f} s"
            application = orders[1].completed.application
            self.say(f"{application} no. 2: {second:.2f} s from claim to verified ({before})")

    def verdict(self, orders: Sequence[DemoOrder]) -> None:
        proven = "the site answers with its own title, its email arrived"
        if len(orders) > 1:
            proven = f"{len(orders)} sites answer with their own titles, {len(orders)} emails arrived"
        if all(order.logged_in for order in orders):
            proven += f", the credentials in {'the' if len(orders) == 1 else 'each'} email log in"
        proven += f", the console shows {'it' if len(orders) == 1 else 'each'} as installed and its email as sent"
        self._console.print(f"[bold green]proven[/]   {proven}", soft_wrap=True)

    def _advance(self, moment: datetime, event: Event[Any]) -> None:
        order = self._orders.get(event.subject or "")
        if order is None:
            return
        before, order.progress = order.progress, order.progress.after(event)
        if order.progress != before:
            order.reached.setdefault(order.progress.state, moment)
            self._print(order, moment, order.progress.state, order.progress.message)

    def _count_down(self) -> None:
        if self._status is None:
            return
        progress = [order.progress for order in self._orders.values()]
        waiting = [each.due_at for each in progress if each.due_at and each.state == "staged"]
        left = max(0.0, (max(waiting) - utc_now()).total_seconds()) if waiting else 0.0
        ended = sum(each.ended for each in progress)
        text = f"due in {left:.1f} s" if left else f"waiting for the tick, {len(waiting)} due" if waiting else "working"
        self._status.update(f"[dim]{text}; {ended} of {len(progress)} done[/]")

    def _print(self, order: DemoOrder, moment: datetime, state: str, text: str) -> None:
        self._console.print(self._clock(order, moment), Text.assemble((f"{state:<15} ", "bold"), text), soft_wrap=True)

    def _clock(self, order: DemoOrder, moment: datetime) -> Text:
        label = f" {order.order.order_id}" if len(self._orders) > 1 else ""
        return Text(f"{order.seconds(moment):6.2f} s{label}", style="cyan")
