"""Everything that Sitecrew declares on a broker, as one table.

All queues are quorum queues, so losing a node loses no message. `x-dead-letter-strategy=at-least-once` requires
`x-overflow=reject-publish`: with any other overflow behaviour the broker silently falls back to at-most-once
dead-lettering (RabbitMQ documentation, "Quorum Queues", dead lettering).
"""

from collections.abc import Mapping
from dataclasses import replace

from foundation.broker.delay import DELIVER, Ladder, destination
from foundation.broker.topology import (
    COMMANDS,
    DEAD_LETTERS,
    EVENTS,
    ORDERS,
    PARKING,
    PROBE,
    REPLAYS,
    UNROUTED,
    Binding,
    Exchange,
    Queue,
    Topology,
)

API_EVENTS = "api.events"
API_PARKED = "api.parked"
INTAKE_ORDERS = "intake.orders"
INTAKE_INSTALLS = "intake.installs"
INTAKE_COMMANDS = "intake.commands"
INSTALLER_STAGED = "installer.staged"
INSTALLER_COMMANDS = "installer.commands"
INSTALLER_DUE = "installer.due"
INSTALLER_DUE_HIGH = "installer.due.high"
INSTALLER_DUE_LOW = "installer.due.low"
INSTALLER_NOW = "installer.now"
INSTALLER_NOW_HIGH = "installer.now.high"
INSTALLER_NOW_LOW = "installer.now.low"
INSTALLER_MAILS = "installer.mails"
MAILER_INSTALLS = "mailer.installs"
MAILER_COMMANDS = "mailer.commands"
PARKED = "intake.parked"
"""Receives a copy of each message that the broker parks; order intake looks at it once."""

DUE: Mapping[str, str] = {"high": INSTALLER_DUE_HIGH, "normal": INSTALLER_DUE, "low": INSTALLER_DUE_LOW}
"""The queues of installs that a batch takes, the most urgent first."""
NOW: Mapping[str, str] = {"high": INSTALLER_NOW_HIGH, "normal": INSTALLER_NOW, "low": INSTALLER_NOW_LOW}
"""The queues of installs that begin at once, the most urgent first."""


def installs_queue(priority: str | None, *, is_staged: bool) -> str:
    """Return the queue in which an install comes due: a batch's or the immediate one, by priority (None: normal)."""
    return (DUE if is_staged else NOW)[priority or "normal"]


FROM_PRODUCERS = frozenset({INTAKE_ORDERS})
"""The queues that producers can publish to."""

DELIVERY_LIMIT = 20
"""A message that was delivered this often and never settled is parked: it probably kills its workers."""

UNLIMITED = 1_000_000
"""RabbitMQ 4's default limit drops a message after 20 returns, and looking at a parked message returns it."""

_OVERHEARD = 1_000_000
"""How many copies wait for the HTTP API at most; it can be told of what it missed."""

_NEVER_LOSE = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-dead-letter-strategy": "at-least-once",
}

_TO_ALL = ((COMMANDS, "service.#"), (COMMANDS, "site_type.#"))
"""Commands that every service hears."""

_WORK: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    # queue                what it is bound to
    (INTAKE_ORDERS, ((ORDERS, "#"),)),
    (
        INTAKE_INSTALLS,
        (
            *((EVENTS, f"install.{end}.*") for end in ("completed", "failed", "cancelled")),
            *((EVENTS, f"server.{change}.*") for change in ("opened", "closed")),
            (EVENTS, "service.described.*"),
        ),
    ),
    (INTAKE_COMMANDS, ((COMMANDS, "order.#"), *_TO_ALL)),
    (INSTALLER_STAGED, ((EVENTS, "install.staged.*"), (EVENTS, "order.amended.*"))),
    (INSTALLER_COMMANDS, ((COMMANDS, "install.#"), (COMMANDS, "timer.#"), (COMMANDS, "server.#"), *_TO_ALL)),
    *((queue, ()) for queue in DUE.values()),  # filled by the ladder only
    *((queue, ()) for queue in NOW.values()),  # filled by the ladder only
    (INSTALLER_MAILS, ((EVENTS, "mail.#"),)),
    (MAILER_INSTALLS, ((EVENTS, "install.completed.*"), (EVENTS, "order.amended.*"))),
    (MAILER_COMMANDS, ((COMMANDS, "mail.#"), *_TO_ALL)),
)

# Order intake has no handler for what these brought: each event would be parked as misdirected.
_RETIRED = tuple(Binding(EVENTS, INTAKE_INSTALLS, key) for key in ("install.#", "install.started.*"))


def sitecrew(ladder: Ladder) -> Topology:
    """Return the whole topology, with this delay ladder."""
    exchanges = [
        Exchange(ORDERS),
        Exchange(EVENTS),
        Exchange(COMMANDS, arguments={"alternate-exchange": UNROUTED}),
        Exchange(REPLAYS),
        Exchange(PARKING, "fanout"),
        Exchange(DEAD_LETTERS, "fanout"),
        Exchange(UNROUTED, "fanout"),
    ]
    queues = [_kept(PARKING), _kept(UNROUTED), _glanced_at(PARKED), Queue(PROBE, {"x-queue-type": "quorum"})]
    fanned_out = ((PARKING, PARKING), (DEAD_LETTERS, PARKING), (DEAD_LETTERS, PARKED), (UNROUTED, UNROUTED))
    bindings = [Binding(exchange, queue, "") for exchange, queue in fanned_out]
    for name, sources in _WORK:
        queues.append(_work_queue(name))
        bindings += [Binding(exchange, name, key) for exchange, key in sources]
        bindings.append(Binding(DELIVER, name, f"#.{destination(name)}"))
    _add_ladder(ladder, exchanges, queues, bindings)
    return Topology(tuple(exchanges), tuple(queues), tuple(bindings), ladder, _RETIRED)


def with_api(ladder: Ladder) -> Topology:
    """Return the whole topology with the queues of the HTTP API, which are there only where it runs: elsewhere they
    would fill up."""
    whole = sitecrew(ladder)
    # Not all commands: one that no service hears must count as unrouted where there is an api, too.
    commands = dict.fromkeys(source for _, sources in _WORK for source in sources if source[0] == COMMANDS)
    sources: dict[str, tuple[tuple[str, str], ...]] = {
        API_EVENTS: ((ORDERS, "#"), (EVENTS, "#"), *commands, (REPLAYS, "#"))
    }
    sources[API_PARKED] = tuple((exchange, "") for exchange in (PARKING, DEAD_LETTERS, UNROUTED))
    return replace(
        whole,
        queues=(*whole.queues, *map(_overheard, sources)),
        copies=frozenset(sources),
        bindings=(
            *whole.bindings,
            *(Binding(exchange, name, key) for name in sources for exchange, key in sources[name]),
        ),
    )


def _overheard(name: str) -> Queue:
    """A queue of copies, read in order by one consumer. It drops the oldest rather than grow without end."""
    limits: dict[str, str | int] = {"x-max-length": _OVERHEARD, "x-overflow": "drop-head"}
    one = {"x-single-active-consumer": True, "x-delivery-limit": DELIVERY_LIMIT}
    return Queue(name, {"x-queue-type": "quorum", **limits, **one})


def _kept(name: str) -> Queue:
    """A queue for people to look into; nothing ever leaves it by itself. If a policy limits its length, new messages
    are rejected and stay where they came from; RabbitMQ's default would drop the oldest."""
    return Queue(name, {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-delivery-limit": UNLIMITED})


def _glanced_at(name: str) -> Queue:
    """A message that kills its worker here as well is dropped: parking it again would bring it straight back."""
    return Queue(name, {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT})


def _work_queue(name: str) -> Queue:
    return Queue(name, {**_NEVER_LOSE, "x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD_LETTERS})


def _add_ladder(ladder: Ladder, exchanges: list[Exchange], queues: list[Queue], bindings: list[Binding]) -> None:
    # At-least-once dead-lettering has 32 slots per queue. A message that is unroutable at the end of the ladder would
    # occupy one for good, and 32 of them would block that level for everyone; hence the alternate exchange.
    exchanges.append(Exchange(DELIVER, arguments={"alternate-exchange": UNROUTED}))
    for number in range(ladder.levels):
        name, below = ladder.level(number), ladder.level(number - 1) if number else DELIVER
        exchanges.append(Exchange(name))
        lifetime = ladder.unit_ms * 2**number
        queues.append(Queue(name, {**_NEVER_LOSE, "x-message-ttl": lifetime, "x-dead-letter-exchange": below}))
        bindings.append(Binding(name, name, ladder.stays(number)))
        bindings.append(Binding(name, below, ladder.passes(number), to_exchange=True))


WORK_QUEUES = frozenset(bound.target for bound in sitecrew(Ladder()).bindings if bound.source == DELIVER)
"""The queues that a message can be requeued into."""
