"""What still moves at the end of a run, and what staff do about what ended badly."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import text

from foundation.broker.topology import PARKING, UNROUTED
from foundation.errors import SitecrewError
from schemas.installs import InstallRetry
from schemas.mails import MailResend
from schemas.orders import OrderRetry
from schemas.values import Model
from tests.chaos.customers import Customers
from tests.chaos.system import System

_MOVING = (
    ("order-intake", "orders accepted", "orders WHERE state = 'accepted'"),
    ("order-intake", "installs awaited", "orders WHERE state = 'created' AND install_state = 'staged'"),
    ("installer", "installs under way", "installs WHERE state IN ('staged', 'installing', 'waiting')"),
    (
        "installer",
        "installs without news of their mail",
        "installs WHERE state = 'installed' AND mail_state = 'waiting'",
    ),
    ("mailer", "mails under way", "mails WHERE state IN ('waiting', 'sending')"),
    *((service, f"outbox rows of {service}", "outbox") for service in ("order-intake", "installer", "mailer", "api")),
)
_KEPT = {PARKING, UNROUTED}
"""Queues from which nothing goes by itself."""
_ENDED_BADLY: tuple[tuple[str, str, type[Model], str], ...] = (
    ("order-intake", "SELECT order_id, cause FROM orders WHERE state = 'failed'", OrderRetry, "order_id"),
    ("installer", "SELECT install_id, cause FROM installs WHERE state = 'failed'", InstallRetry, "install_id"),
    ("mailer", "SELECT install_id, cause FROM mails WHERE state = 'failed'", MailResend, "install_id"),
)


def moving(system: System, customers: Customers) -> dict[str, int]:
    """What is not at rest, and how much of it."""
    found = {"requests unanswered": customers.unanswered}
    for service, what, rows in _MOVING:
        with system.store(service) as store, store.reading() as connection:
            found[what] = int(connection.execute(text(f"SELECT count(*) FROM {rows}")).scalar_one())
    queues = [queue.name for queue in system.broker.topology.queues if queue.name not in _KEPT]
    try:
        depths = system.broker.depths(queues)
    except SitecrewError as error:
        return {**found, str(error): 1}
    found |= {f"messages in {queue}": depths.get(queue, 1) for queue in queues}
    return {what: count for what, count in found.items() if count}


_ELECT = "[begin ra:trigger_election({Name, node()}), Name end || {Name, follower} <- ets:tab2list(ra_state)]."
"""Erlang, for RabbitMQ 3.10: have each queue without a leader elect one, and return their names."""


@dataclass
class Staff:
    """Retry what failed for good, as people do when the trouble is over; each thing once."""

    by_hand: dict[str, str] = field(default_factory=dict)
    """What they retried, and why it had failed."""

    def elect(self, system: System) -> None:
        """Help queues that RabbitMQ has left without a leader, where the only member is a follower for ever."""
        for name in re.findall(r"\w[\w.]+", system.rabbit.ctl("eval", _ELECT)):
            self.by_hand[name] = "a queue without a leader"

    def work(self, system: System, customers: Customers) -> None:
        for command, key, name, cause in list(_failures(system)):
            if name not in self.by_hand:
                self.by_hand[name] = cause
                customers.command(command(**{key: name}))


def _failures(system: System) -> Iterator[tuple[type[Model], str, str, str]]:
    for service, query, command, key in _ENDED_BADLY:
        with system.store(service) as store, store.reading() as connection:
            for name, cause in connection.execute(text(query)):
                why = json.loads(cause) if isinstance(cause, str) else cause or {}
                yield command, key, str(name), f"{why.get('code')}: {why.get('detail')}"
