"""The lives of orders, as a person watches them on a terminal."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from foundation.broker import Delivery, codec
from foundation.clock import utc_now
from schemas.envelope import Event
from schemas.orders import OrderPlaced

_STAGES = {
    "sitecrew.account.created.v1": "account",
    "sitecrew.install.staged.v1": "staged",
    "sitecrew.install.started.v1": "installing",
    "sitecrew.install.completed.v1": "installed",
    "sitecrew.mail.sent.v1": "mailed",
}
_REPORTED = ("account", "staged", "installed", "mailed")
_FAILURES = {
    "sitecrew.order.rejected.v1",
    "sitecrew.account.failed.v1",
    "sitecrew.install.failed.v1",
    "sitecrew.mail.failed.v1",
}


@dataclass
class Life:
    """What was seen of one order."""

    order: OrderPlaced
    placed_at: datetime
    moments: dict[str, datetime] = field(default_factory=dict)
    account: Any = None
    due_at: datetime | None = None
    completed: Any = None
    failure: str | None = None
    letter: str | None = None
    logged_in: bool | None = None

    @property
    def ended(self) -> bool:
        return "mailed" in self.moments or self.failure is not None

    def report(self) -> dict[str, Any]:
        """The order's story in figures; seconds count from the order's publishing."""
        login = self.completed.login
        return {
            "order_id": self.order.order_id,
            "install_id": self.completed.install_id,
            "username": self.account.username,
            "site_url": self.completed.site.url,
            "login_url": login.login_url if login else None,
            "letter": self.letter,
            "seconds": {stage: self.after(self.moments[stage]) for stage in _REPORTED},
            "logged_in": self.logged_in,
        }

    def after(self, moment: datetime) -> float:
        return round((moment - self.placed_at).total_seconds(), 3)


class Show:
    """Prints what happens as it happens: events from the broker, steps from the services' log lines."""

    def __init__(self, console: Console) -> None:
        self.proven = False
        self._console = console
        self._lives: dict[str, Life] = {}
        self._steps: list[tuple[datetime, str, Text]] = []
        self._lock = threading.Lock()
        self._status = console.status("") if console.is_terminal else None

    def say(self, text: str) -> None:
        """About the machine rather than an order."""
        self._console.print(f"[dim]         {escape(text)}[/]")

    def placed(self, order: Event[OrderPlaced]) -> Life:
        life = Life(order.data, utc_now())
        self._lives[order.data.order_id] = life
        self._print(
            life, life.placed_at, "order", f"{order.data.order_id}: {order.data.site_type} for {order.data.domain}"
        )
        if self._status:
            self._status.start()
        return life

    def log_line(self, _service: str, line: str) -> None:
        """A service's log line: the steps of an install are shown, and whatever is not in order."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
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
        events = [codec.decode(d.body, d.content_type, d.headers) for d in deliveries]
        with self._lock:
            steps, self._steps = self._steps, []
        happened: list[tuple[datetime, Event[Any] | tuple[str, Text]]] = [
            *((event.time or utc_now(), event) for event in events),
            *((moment, (order_id, text)) for moment, order_id, text in steps),
        ]
        for moment, what in sorted(happened, key=lambda pair: pair[0]):
            if isinstance(what, Event):
                self._event(moment, what)
            elif life := self._lives.get(what[0]):
                self._console.print(self._clock(life, moment), what[1])
        self._count_down()

    def all_ended(self) -> bool:
        return all(life.ended for life in self._lives.values())

    def close(self) -> None:
        if self._status:
            self._status.stop()

    def letter(self, life: Life, message: EmailMessage) -> None:
        text = message.get_body(("plain",))
        content = text.get_content().strip() if text else ""
        letter = f"To: {message['To']}\nSubject: {message['Subject']}\n\n{content}"
        for line in letter.splitlines():
            self._console.print(Text.assemble(("  \N{BOX DRAWINGS LIGHT VERTICAL} ", "cyan"), line), soft_wrap=True)
        self._console.print(f"[dim]         as it came: {escape(str(life.letter))}[/]")

    def verdict(self, lives: list[Life]) -> None:
        proven = "the site answers with its own title, its letter arrived"
        if len(lives) > 1:
            proven = f"{len(lives)} sites answer with their own titles, {len(lives)} letters arrived"
        if all(life.logged_in for life in lives):
            proven += ", what the letter says logs in" if len(lives) == 1 else ", what each letter says logs in"
        self._console.print(f"[bold green]proven[/]   {proven}", soft_wrap=True)

    def _event(self, moment: datetime, event: Event[Any]) -> None:
        life = self._lives.get(event.subject or "")
        if life is None:
            return
        data = event.data
        if event.type in _FAILURES:
            life.failure = f"{data.cause.detail}; {data.cause.remedy}"
            self._print(life, moment, "failed", life.failure)
            return
        stage = _STAGES.get(event.type)
        if stage is None or stage in life.moments:
            return
        life.moments[stage] = moment
        self._print(life, moment, stage, self._describe(life, stage, data))

    def _describe(self, life: Life, stage: str, data: Any) -> str:
        match stage:
            case "account":
                life.account = data.account
                return f"{data.account.username} exists on {data.account.server}"
            case "staged":
                life.due_at = data.due_at
                pause = (data.due_at - utc_now()).total_seconds()
                return f"{data.install_id}, due in {pause:.1f} s, then at the next tick"
            case "installing":
                return f"attempt {data.attempt}"
            case "installed":
                life.completed = data
                return f"{data.application} {data.version} answers at {data.site.url}"
            case _:
                return f"letter to {data.recipient}"

    def _count_down(self) -> None:
        if self._status is None:
            return
        waiting = [life.due_at for life in self._lives.values() if life.due_at and "installing" not in life.moments]
        left = max(0.0, (max(waiting) - datetime.now(UTC)).total_seconds()) if waiting else 0.0
        ended = sum(life.ended for life in self._lives.values())
        text = f"due in {left:.1f} s" if left else f"waiting for the tick, {len(waiting)} due" if waiting else "working"
        self._status.update(f"[dim]{text}; {ended} of {len(self._lives)} done[/]")

    def _print(self, life: Life, moment: datetime, stage: str, text: str) -> None:
        self._console.print(self._clock(life, moment), Text.assemble((f"{stage:<10} ", "bold"), text), soft_wrap=True)

    def _clock(self, life: Life, moment: datetime) -> Text:
        label = f" {life.order.order_id}" if len(self._lives) > 1 else ""
        return Text(f"{life.after(moment):6.2f} s{label}", style="cyan")
