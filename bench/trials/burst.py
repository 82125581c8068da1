"""Measure very many WordPress orders that come due at one tick, through the whole system, up to the last letter."""

import statistics
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.machine import ROOT, progress
from foundation.broker import Broker, Consumer, codec
from foundation.clock import utc_now
from foundation.config.settings import load
from foundation.errors import SitecrewError
from foundation.service.process import broker_of
from schemas.accounts import AccountFailed
from schemas.envelope import Event
from schemas.installs import InstallCompleted, InstallFailed, InstallStaged, InstallStarted, TimerRunNow
from schemas.mails import MailFailed, MailSent
from schemas.orders import OrderPlaced
from schemas.values import Customer, Model
from sitecrew.cli.client import sending
from sitecrew.stack.machine import Plan, stack

TARGETS = {"letters_missing": "== 0", "failed": "== 0"}
_NEVER = "0 0 29 2 *"
_SETTINGS = {"timer.every": _NEVER, "timer.budget_seconds": 100_000, "sites.wordpress.settle_seconds": 0}
_PATTERNS = ("install.staged.*", "install.started.*", "install.completed.*", "*.failed.*", "mail.sent.*")
_FAILED = (AccountFailed, InstallFailed, MailFailed)
_SECONDS_EACH = 60.0
"""Seconds that an order may take, on a slow machine."""


@dataclass
class Seen:
    """When each order got where, by its events."""

    moments: dict[type[Model], dict[str, datetime]] = field(default_factory=dict)

    def add(self, event: Event[Any]) -> None:
        """Of several attempts, the last counts."""
        self.moments.setdefault(type(event.data), {})[event.subject or ""] = event.time or utc_now()

    def of(self, kind: type[Model]) -> dict[str, datetime]:
        """The orders that have come there, and when."""
        return self.moments.get(kind, {})

    def figures(self, orders: Collection[str], tick: datetime) -> dict[str, Any]:
        """The result, from the tick on. Raises ValueError if nothing was installed."""
        done, claimed, sent = self.of(InstallCompleted), self.of(InstallStarted), self.of(MailSent)
        took = [(done[order] - claimed[order]).total_seconds() for order in done]
        minutes = (max((*done.values(), *sent.values())) - tick).total_seconds() / 60
        return {
            "orders": len(orders),
            "failed": len({order for kind in _FAILED for order in self.of(kind)}),
            "letters_missing": len(set(orders) - sent.keys()),
            "minutes": round(minutes, 2),
            "per_minute": round(len(done) / minutes, 1),
            "median_seconds_from_claim_to_verified": round(statistics.median(took), 3),
        }


def burst(orders: int) -> dict[str, Any]:
    """Have so many WordPress orders come due at one tick of a system of our own. Raises SitecrewError."""
    with tempfile.TemporaryDirectory(prefix="sitecrew-bench-", dir=ROOT / "var") as folder:
        plan = Plan(Path(folder), ("wordpress",), settings=_SETTINGS)
        Path(folder).chmod(0o755)
        with stack(plan, progress, lambda _service, _line: None) as running:
            broker = broker_of(load(running.config, environment=False), "bench")
            try:
                return _burst(broker, [_order(number) for number in range(orders)])
            finally:
                broker.close()


def _burst(broker: Broker, orders: Sequence[OrderPlaced]) -> dict[str, Any]:
    ids = {order.order_id for order in orders}
    seen, watcher = Seen(), broker.watch("events", *_PATTERNS)
    _publish(broker, orders)
    _until(watcher, seen, (InstallStaged, AccountFailed), ids)
    progress(f"{len(orders)} orders are staged; the tick ...")
    tick = utc_now()
    _publish(broker, [TimerRunNow()])
    _until(watcher, seen, (MailSent, *_FAILED), ids)
    return seen.figures(ids, tick)


def _order(number: int) -> OrderPlaced:
    name = f"burst{number:05}"
    customer = Customer(name="Ann Miller", email=f"ann@{name}.example")
    return OrderPlaced(
        order_id=name, site_type="wordpress", domain=f"{name}.example", customer=customer, blog_name=f"Shop {number}"
    )


def _publish(broker: Broker, what: Sequence[Model]) -> None:
    events = [sending.event(data, getattr(data, "order_id", None)) for data in what]
    sending.require_confirmed(sending.publish(broker, [sending.message(event) for event in events]))


def _until(watcher: Consumer, seen: Seen, kinds: Sequence[type[Model]], orders: Collection[str]) -> None:
    ends = time.monotonic() + 60 + _SECONDS_EACH * len(orders)
    while missing := set(orders).difference(*map(seen.of, kinds)):
        if time.monotonic() > ends:
            raise SitecrewError(f"{len(missing)} orders did not get to {kinds[0].__name__} in time")
        for delivery in watcher.take(1000, timeout=0.5):
            seen.add(codec.read(delivery))
