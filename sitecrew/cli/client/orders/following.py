"""Following the orders that were just sent, until all have ended: what `--wait` shows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from foundation.broker import Consumer
from schemas.envelope import Event
from schemas.installs import CommandRefused
from sitecrew.cli.client import sending
from sitecrew.cli.client.orders.progress import OrderProgress
from sitecrew.cli.output import terminal

_EXIT_CODES = {"rejected": 6, "cancelled": 6, "refused": 6, "unknown": 5}


class Follower:
    """Follows orders until all have ended, and shows each step on stderr."""

    def __init__(self, started: Iterable[OrderProgress], *, json: bool = False) -> None:
        self._json = json
        self._progress = {progress.event_id: progress for progress in started}
        self._open = set(self._progress)
        self._of_order: dict[str, list[str]] = defaultdict(list)
        for progress in self._progress.values():
            self._of_order[progress.order_id].append(progress.event_id)

    @property
    def progress(self) -> Sequence[OrderProgress]:
        """How far each is by now."""
        return list(self._progress.values())

    def follow(self, watching: Consumer, timeout: float) -> Sequence[OrderProgress]:
        """Listen for up to `timeout` seconds; how far each is then."""
        with terminal.working(self.summary()) as say:
            for event in sending.incoming(watching, monotonic() + timeout) if self._open else ():
                for event_id in self._concerned(event):
                    if event_id in self._open:
                        self.move(event_id, self._progress[event_id].after(event), event.type)
                if not self._open:
                    break
                say(self.summary())
        return self.progress

    def waiting(self, order_id: str = "") -> Sequence[OrderProgress]:
        """Those that have not ended, of one order if given."""
        return [
            self._progress[event_id] for event_id in self._open if order_id in ("", self._progress[event_id].order_id)
        ]

    def move(self, event_id: str, after: OrderProgress, why: str) -> None:
        """Take one further, and show it if that is news; `why` names the type of event that tells of it."""
        before, self._progress[event_id] = self._progress[event_id], after
        if after.ended:
            self._open.discard(event_id)
        if after != before:
            style = "" if not after.ended else "green" if after.succeeded else "red"
            text = f"{after.order_id}  {after.state:15}  {after.message}"
            terminal.news(text, style, {"event": why, **after.record()} if self._json else None)

    def _concerned(self, event: Event[Any]) -> Sequence[str]:
        if isinstance(event.data, CommandRefused):
            return [event.data.command_id] if event.data.command_id in self._progress else []
        return self._of_order.get(getattr(event.data, "order_id", ""), ())

    def summary(self) -> str:
        """What is waited for."""
        if len(self._open) == 1:
            (progress,) = (self._progress[event_id] for event_id in self._open)
            return f"waiting for {progress.order_id}: {progress.state}"
        return f"waiting for {len(self._open)} of {len(self._progress)} orders"


def exit_code(orders: Sequence[OrderProgress]) -> int:
    """0 if all went well, 1 if one failed or has not ended, 5 or 6 if the worst was unknown or refused."""
    codes = {0 if progress.succeeded else _EXIT_CODES.get(progress.state, 1) for progress in orders}
    return 1 if 1 in codes else max(codes, default=0)
