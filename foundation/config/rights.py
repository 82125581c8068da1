"""Who works with what on the broker: a user for each service, for the command, for producers and for an administrator,
each with the least that works.

RabbitMQ has three permissions, regular expressions for the names of exchanges and queues (configure, write, read), and
for what is published to a topic exchange another one for routing keys (its documentation, "Access Control").
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from foundation.broker.delay import DELIVER, destination, is_detour
from foundation.broker.topology import COMMANDS, EVENTS, ORDERS, PARKING, PROBE, REPLAYS, UNROUTED, Topology, browsing
from foundation.config.queues import (
    API_EVENTS,
    API_PARKED,
    DUE,
    INSTALLER_COMMANDS,
    INSTALLER_MAILS,
    INSTALLER_STAGED,
    INTAKE_COMMANDS,
    INTAKE_INSTALLS,
    INTAKE_ORDERS,
    MAILER_COMMANDS,
    MAILER_INSTALLS,
    NOW,
    PARKED,
    WORK_QUEUES,
)

_TEMPORARY = r"amq\.gen.*"
"""The names that the broker gives to temporary queues."""
_LADDER = r"delay\..*"
NOTHING = "^$"


@dataclass(frozen=True)
class User:
    """A user of the broker, and what it works with."""

    name: str
    consumes: tuple[str, ...] = ()
    """The queues that it takes messages from."""
    browses: tuple[str, ...] = ()
    """The queues in which it looks for messages, and from which it removes some."""
    publishes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By exchange, the types that it publishes there, or what they begin with; empty: all of them."""
    delivers: tuple[str, ...] = ()
    """The queues that it puts messages into, past the exchanges."""
    delays: bool = False
    """Whether it may have them delivered later."""
    watches: bool = False
    """Whether it may watch all events, by temporary queues."""
    probes: bool = True
    """Whether it asks if its node reaches a majority, as our connections do."""
    administers: bool = False
    """Whether it may do everything in the virtual host, and see the broker's policies."""

    def needs(self, topology: Topology) -> frozenset[str]:
        """The exchanges and queues that must be there for it."""
        ladder = {exchange.name for exchange in topology.exchanges if self._reaches(exchange.name)}
        return frozenset({*self.consumes, *self.browses, *self.publishes, *ladder})

    def permissions(self) -> dict[str, str]:
        """Its three permissions."""
        if self.administers:
            return dict.fromkeys(("configure", "write", "read"), ".*")
        own = (_TEMPORARY,) if self.watches else ()
        ladder = (_LADDER if self.delays else _escaped(DELIVER),) if self.delivers else ()
        events = (EVENTS,) if self.watches else ()
        probe = (PROBE,) if self.probes else ()
        return {
            "configure": _any_of([*(_escaped(browsing(queue)) for queue in self.browses), *own]),
            "write": _any_of([*map(_escaped, self.publishes), *ladder, *own]),
            "read": _any_of([*map(_escaped, (*self.consumes, *self.browses, *events, *probe)), *own]),
        }

    def topics(self, topology: Topology) -> Iterator[tuple[str, str]]:
        """The exchanges at which its routing keys are limited, each with the expression for them."""
        for exchange, types in self.publishes.items():
            if types:
                yield exchange, rf"^({'|'.join(map(_escaped, types))})\."
        queues = "|".join(map(destination, self.delivers))
        for one in topology.exchanges:
            if self._reaches(one.name):
                yield one.name, rf"^([01]\.)*({queues})$"

    def _reaches(self, exchange: str) -> bool:
        return bool(self.delivers) and (exchange == DELIVER or (self.delays and is_detour(exchange)))


_EACH = ("command.refused", "service", "site_type")
_FOR_STAFF = tuple(sorted(WORK_QUEUES))
_RELEASED = ("message.purged", "message.requeued")


def _service(
    name: str,
    queues: tuple[str, ...],
    *events: str,
    commands: tuple[str, ...] = (),
    passes_on_to: tuple[str, ...] = (),
) -> User:
    types = (*events, *_EACH)
    own = {EVENTS: types, REPLAYS: types, PARKING: ()}
    return User(
        f"sitecrew-{name}",
        consumes=queues,
        publishes={**own, COMMANDS: commands} if commands else own,
        delivers=(*(queue for queue in queues if queue in WORK_QUEUES), *passes_on_to),
        delays=True,
    )


USERS: Mapping[str, User] = {
    "order-intake": _service(
        "order-intake",
        (INTAKE_ORDERS, INTAKE_INSTALLS, INTAKE_COMMANDS, PARKED),
        "account",
        "order",
        "install.staged",
        commands=("install.cancel", "service.describe"),
        passes_on_to=(*DUE.values(), *NOW.values()),
    ),
    "installer": _service(
        "installer",
        (INSTALLER_STAGED, INSTALLER_COMMANDS, *DUE.values(), *NOW.values(), INSTALLER_MAILS),
        "install",
        "timer",
        "server",
    ),
    "mailer": _service("mailer", (MAILER_INSTALLS, MAILER_COMMANDS), "mail", "preview"),
    "api": User(
        "sitecrew-api",
        consumes=(API_EVENTS, API_PARKED),
        browses=(PARKING, UNROUTED),
        publishes={ORDERS: (), COMMANDS: (), EVENTS: ("alert", "service.heartbeat", *_RELEASED)},
        delivers=_FOR_STAFF,
    ),
    "cli": User(
        "sitecrew-staff",
        browses=(PARKING, UNROUTED),
        publishes={ORDERS: (), COMMANDS: (), EVENTS: _RELEASED},
        delivers=_FOR_STAFF,
        watches=True,
    ),
    "shop": User("sitecrew-shop", publishes={ORDERS: ("order.placed",)}, probes=False),
    "admin": User("sitecrew-admin", administers=True),
}
"""The users: of each service, of the command, of a producer that places orders and does nothing else, and of whoever
declares the topology."""

OURS = frozenset(USERS[name].name for name in ("order-intake", "installer", "mailer", "api", "cli"))
"""The users that publish only what Sitecrew says."""


def _escaped(name: str) -> str:
    return name.replace(".", r"\.")


def _any_of(expressions: Sequence[str]) -> str:
    return f"^({'|'.join(sorted(expressions))})$" if expressions else NOTHING
