"""The broker port: what services need from a message broker, independent of any protocol.

`rabbit` implements it and is the only package that imports pika; `foundation/testing/memory` keeps everything in one
process with a clock of its own, for tests. Both pass the same contract suite (`tests/contracts/`).
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple, Protocol

from foundation.broker.turns import Turns

Header = str | int


class Message(NamedTuple):
    """A message to publish; always persistent."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str = ""
    type: str = ""
    correlation_id: str = ""
    content_type: str = "application/cloudevents+json"
    headers: Mapping[str, Header] = MappingProxyType({})
    mandatory: bool = True
    """Whether the broker must report it if no queue takes the message."""


class Delivery(NamedTuple):
    """A message that was delivered. It belongs to the broker until it is settled."""

    queue: str
    body: bytes
    content_type: str
    message_id: str
    type: str
    headers: Mapping[str, object]
    redeliveries: int
    """How often it was delivered before without being settled: 0 for a first delivery."""
    tag: int
    epoch: int
    """Which incarnation of the channel it came on; settling it on a later one is ignored."""
    exchange: str = ""
    """The exchange it was published to, or last dead-lettered to. See `sender`."""
    routing_key: str = ""
    user_id: str = ""
    """The broker user that published it, if it was given: the broker validates it."""
    size: int = 0
    """The size of its body in bytes, if that is more than is read: `body` is then only its beginning. See `limits`."""

    @property
    def name(self) -> str:
        """The id that people use for it; see `name_of`."""
        return name_of(self.message_id, self.body)


def name_of(message_id: str, body: bytes) -> str:
    """The id that people use for a message: its own, or a digest of its body if its sender gave it none that
    can be typed. Two messages may have the same name."""
    typed = message_id and not any(letter.isspace() or not letter.isprintable() for letter in message_id)
    return message_id if typed else f"body-{sha256(body).hexdigest()[:16]}"


class Confirmation(StrEnum):
    """The outcome of publishing a message."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    """The broker rejected it (a queue is full, or its leader is gone)."""
    UNROUTABLE = "unroutable"
    """It was mandatory, but no queue is bound for it."""
    UNKNOWN = "unknown"
    """No answer in time. It may have arrived: publish it again; receivers ignore duplicates."""


class Publisher(Protocol):
    """Publishes with confirms, many in flight at once. Safe to use from several threads."""

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        """One outcome per message, in order. Blocks until all are known or `timeout` seconds
        have passed. A lost connection is re-made and what was unconfirmed is sent again."""

    def close(self) -> None:
        """Abandon what is unconfirmed and disconnect."""


class Consumer(Protocol):
    """Deliveries of one queue, at most `prefetch` unsettled; or of several by turns, the most urgent first.

    It starts with one at a time, and continues so as long as deliveries are redeliveries: one of those may have killed
    the last consumer, and the broker counts that against everything delivered together with it.
    """

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Up to `limit` deliveries. Waits up to `timeout` seconds for the first, never for more.
        Returns early and perhaps empty when woken."""

    def interrupt(self) -> None:
        """Make a `take` that waits (or the next one) return now. Callable from any thread."""

    def allow(self, prefetch: int) -> None:
        """At most `prefetch` unsettled from now on, if that is more than it began with; else as many as then. What
        has been handed out stays so."""

    def cease(self) -> None:
        """Have nothing more handed out. What has been can be taken and settled."""

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge. Deliveries of an earlier incarnation of the channel are skipped: the broker has
        requeued them already."""

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        """Have the broker dead-letter them. Skips deliveries as `settle` does."""

    def close(self) -> None:
        """Stop consuming; unsettled deliveries return to their queue."""


class Broker(Protocol):
    """A connection to one broker (or a cluster), with Sitecrew's topology declared on it."""

    reconnections: int
    """How often anything opened through this broker has reconnected. A watching consumer missed what was published in
    between."""
    missed: set[str]
    """Those of the topology's `copies` that were not there when we declared it, or looked for it. Whoever has made up
    for it takes them out."""

    @property
    def user(self) -> str:
        """The user we log in as; empty if the broker needs none."""

    def declare(self) -> bool:
        """Declare the topology. Return False if our user may not do that, but what we need is there. Raises
        BrokerUnreachable (also if it is not), or ConfigurationError if something of the same name exists with other
        properties."""

    def differences(self) -> list[str]:
        """What is missing on the broker or differs from the topology, one sentence each. Changes
        nothing. Raises Refused if our user may not compare."""

    def publisher(self) -> Publisher:
        """A publisher on a connection of its own. Its messages carry the connection's `user_id`."""

    def consumer(self, queue: str | Turns, prefetch: int) -> Consumer:
        """A consumer on a connection of its own, which a memory alarm does not block. Of several queues, each has the
        prefetch."""

    def watch(self, exchange: str, *patterns: str) -> Consumer:
        """A consumer of a private, temporary queue bound to `patterns`, which takes nothing from others.
        Its deliveries need no settling, and are lost if the connection is."""

    def disconnected(self) -> list[str]:
        """What is open through this broker but has no connection at the moment: consumers by their
        queues, and `publisher`."""

    def lost_for(self) -> float:
        """For how many seconds one of those has had no connection, the longest; 0 if there are none."""

    def cut_off(self) -> list[str]:
        """The same of what has, or had last, a node that does not reach a majority of its cluster: nothing is confirmed
        or delivered there."""

    def depth(self, queue: str) -> int | None:
        """The number of messages ready in `queue`, without unsettled ones; None if there is no such
        queue, or our user may not look at it."""

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        """The same of several queues, by one connection; those without a number are left out."""

    def is_missing(self, queue: str) -> bool:
        """Whether there is no such queue. One that our user may not look at is taken to be there."""

    def consumers(self, queue: str) -> int:
        """The number of consumers of an existing queue."""

    def browse(self, queue: str, limit: int) -> list[Delivery]:
        """Look at up to `limit` messages from the head of a queue and leave them there. One reader at a time looks into
        a queue or removes from it; raises Refused if another takes too long."""

    def remove(self, queue: str, names: Sequence[str]) -> list[str]:
        """Permanently remove messages from a queue, by their names, starting at its head; return the
        names of those removed. A name that is given twice removes two."""

    def close(self) -> None:
        """Close everything that was opened through this broker."""
