"""What can be declared on a broker: exchanges, queues, and what binds them. The table that Sitecrew declares is in
`foundation/config/queues.py`.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from foundation.broker.delay import Ladder

ORDERS, EVENTS, COMMANDS = "orders", "events", "commands"
REPLAYS = "replays"
"""Where services tell of their rows once more for whoever asks (`service.replay`). Nothing of ours is bound to it: a
replay mails nobody and installs nothing."""
PARKING, UNROUTED = "parking", "unrouted"
PROBE = "probe"
"""A queue that nothing is published to. Whoever asks it for a message gets an answer only from a node that reaches a
majority of its cluster; see `rabbit.probe`."""
DEAD_LETTERS = "dead-letters"
"""Where the broker dead-letters messages from work queues: into parking, and to a service that reports them. What
services park goes to the exchange `parking`, which has one queue: if that was deleted, they notice and wait."""


def browsing(queue: str) -> str:
    """The name of the temporary queue that is held by whoever reads this one from its head."""
    return f"browsing.{queue}"


@dataclass(frozen=True)
class Exchange:
    name: str
    kind: str = "topic"
    arguments: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Queue:
    name: str
    arguments: dict[str, str | int]


@dataclass(frozen=True)
class Binding:
    """From an exchange to a queue, or to another exchange."""

    source: str
    target: str
    key: str
    to_exchange: bool = False


@dataclass(frozen=True)
class Topology:
    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    ladder: Ladder
    retired: tuple[Binding, ...] = ()
    """Bindings to queues that earlier versions declared; declaring the topology removes them."""
    needed: frozenset[str] = frozenset()
    """The exchanges and queues that we use: what must be there if we may not declare anything."""
    copies: frozenset[str] = frozenset()
    """The queues of copies: if one is gone, so is what was published meanwhile for whoever reads it."""

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(exchange.name for exchange in self.exchanges)

    @cached_property
    def _fanouts(self) -> frozenset[str]:
        return frozenset(exchange.name for exchange in self.exchanges if exchange.kind == "fanout")

    @cached_property
    def _expected(self) -> dict[tuple[str, str], bool]:
        """What `expects` has found: it is asked for each message, about a few routing keys of ours."""
        return {}

    def has_exchange(self, name: str) -> bool:
        """Whether a message can be published to it: one of the table's, or the default exchange."""
        return not name or name in self._names

    def expects(self, exchange: str, routing_key: str) -> bool:
        """Whether the table binds a queue for this key. If so, a message that finds none is an
        alarm; if not (an event that only watchers care for), it is ordinary."""
        expected = self._expected.get((exchange, routing_key))
        if expected is None:
            every_key = exchange in self._fanouts
            bound = (b.source == exchange and (every_key or matches(b.key, routing_key)) for b in self.bindings)
            expected = self._expected[exchange, routing_key] = any(bound)
        return expected


@lru_cache(maxsize=4096)
def matches(pattern: str, key: str) -> bool:
    """Whether a topic binding takes a routing key: `*` is one word, `#` any number of words."""
    return _words_match(pattern.split("."), key.split("."))


def _words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_words_match(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _words_match(rest, words[1:])
