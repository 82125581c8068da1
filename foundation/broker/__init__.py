"""The broker port: what services need of a message broker, and nothing of how it is spoken to.

`rabbit` is the real one and the only module that knows pika; `memory` keeps everything in one
process with a clock of its own, for tests and for trying things out. Both pass the same contract
suite (`tests/contracts/`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

Header = str | int


@dataclass(frozen=True, slots=True)
class Message:
    """What is published. Always persistent."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str = ""
    type: str = ""
    correlation_id: str = ""
    content_type: str = "application/cloudevents+json"
    headers: Mapping[str, Header] = field(default_factory=dict)
    mandatory: bool = True
    """True: the broker must say so if no queue takes it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What arrived. It stays the broker's until it is settled."""

    queue: str
    body: bytes
    content_type: str
    message_id: str
    type: str
    headers: Mapping[str, object]
    redeliveries: int
    """How often it was handed out before and not settled: 0 for a first delivery."""
    tag: int
    epoch: int
    """Which life of the channel it came on; a settlement on a later one is dropped."""
    exchange: str = ""
    """To which it was published, or dead-lettered last. See `sender`."""
    routing_key: str = ""
    user_id: str = ""
    """The broker's user who published it, if he said so: the broker vouches for it."""
    size: int = 0
    """Bytes of its body on the broker, if more than are read: then `body` is only its beginning. See `limits`."""

    @property
    def name(self) -> str:
        """What people call it by; see `name_of`."""
        return name_of(self.message_id, self.body)


def name_of(message_id: str, body: bytes) -> str:
    """What people call a message by: its id, or a digest of its body if its sender gave it no id that
    can be typed. Two messages may have the same name."""
    typed = message_id and not any(letter.isspace() or not letter.isprintable() for letter in message_id)
    return message_id if typed else f"body-{sha256(body).hexdigest()[:16]}"


class Confirmation(StrEnum):
    """What became of a published message."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    """The broker said no (a queue is full, or its leader is gone)."""
    UNROUTABLE = "unroutable"
    """It was mandatory, and no queue is bound for it."""
    UNKNOWN = "unknown"
    """No answer in time. It may have arrived: publish it again, receivers ignore duplicates."""


class Publisher(Protocol):
    """Publishes with confirms, many in flight at once. Safe to use from several threads."""

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        """One outcome a message, in their order; blocks until all are known or `timeout` seconds
        have passed. A lost connection is re-made and what was unconfirmed is sent again."""

    def close(self) -> None:
        """Give up what is unconfirmed and disconnect."""


class Consumer(Protocol):
    """Deliveries of one queue, at most `prefetch` unsettled.

    It begins with one at a time, and goes on so as long as what comes was handed out before and not settled: that may
    be what ended the last consumer, and when it does, the broker counts that against all that were handed out with it.
    """

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Up to `limit` deliveries: waits up to `timeout` seconds for the first, never for more.
        Returns early and perhaps empty when woken."""

    def interrupt(self) -> None:
        """Make a `take` that waits (or the next one) return now. Callable from any thread."""

    def allow(self, prefetch: int) -> None:
        """At most `prefetch` unsettled from now on, if that is more than it began with; else as many as then. What
        has been handed out stays so."""

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge. A delivery of an earlier life of the channel is passed over: the broker has
        taken it back already and delivers it again."""

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        """Have the broker dead-letter them as they are. Passed over like settlements."""

    def close(self) -> None:
        """Stop consuming; what is unsettled goes back to its queue."""


class Broker(Protocol):
    """A connection to one broker (or a cluster), with Sitecrew's topology declared on it."""

    reconnections: int
    """How often what was opened through this broker has lost its connection and got another. Who watches has
    missed what passed in between, however short that was."""

    @property
    def user(self) -> str:
        """As whom we come to it; empty if no name is needed."""

    def declare(self) -> None:
        """Declare the topology. Raises BrokerUnreachable, or ConfigurationError if what is there
        differs from what is wanted."""

    def differences(self) -> list[str]:
        """What is missing on the broker or differs from the topology, a sentence each. Changes
        nothing."""

    def publisher(self) -> Publisher:
        """A publisher on a connection of its own. What it publishes bears the `user_id` of the connection."""

    def consumer(self, queue: str, prefetch: int) -> Consumer:
        """A consumer on a connection of its own: a memory alarm that blocks publishers leaves it be."""

    def watch(self, exchange: str, *patterns: str) -> Consumer:
        """A consumer of a private, temporary queue bound to `patterns`: sees, takes nothing away.
        What it takes needs no settling, and is gone if the connection is lost."""

    def disconnected(self) -> list[str]:
        """What was opened through this broker, is not closed, and has no connection just now: consumers
        by their queues, and `publisher`."""

    def depth(self, queue: str) -> int | None:
        """How many messages wait in `queue`, those handed out not counted; None if there is no such
        queue."""

    def browse(self, queue: str, limit: int) -> list[Delivery]:
        """Look at up to `limit` messages from the head of a queue and leave them there."""

    def remove(self, queue: str, names: Sequence[str]) -> list[str]:
        """Take messages out of a queue for good, by their names, from its head; which of them were
        there. A name that is given twice takes two."""

    def close(self) -> None:
        """Close everything that was opened through this broker."""
