"""The delayed exchange: a ladder of plain replicated queues.

Level n holds a message for `unit * 2^n` and passes it down to level n-1; a binding passes it straight
down where it need not wait. A delay of k units is written in binary in front of the destination,
highest level first: with five levels, five units to `installer-due` is `0.0.1.0.1.installer-due`.
Below level 0 is `delay.deliver`, which routes by destination.

Each queue has one fixed TTL, so no message waits behind one with a longer delay. This is the design
of NServiceBus's RabbitMQ transport (its documentation, "Delayed delivery"), chosen over the
delayed-message plugin for the reasons in docs/decisions/0001-delay-ladder.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

DELIVER = "delay.deliver"
"""The exchange below the last level."""


@dataclass(frozen=True)
class Ladder:
    """`levels` queues, the lowest of which holds a message for `unit_ms` milliseconds."""

    unit_ms: int = 1000
    levels: int = 20

    @property
    def reach_seconds(self) -> float:
        """The longest delay that the ladder can express, in seconds: 12 days by default."""
        return float(2**self.levels - 1) * self.unit_ms / 1000

    def level(self, number: int) -> str:
        """The name of a level: of its exchange and of its queue."""
        return f"delay.{number}"

    def route(self, destination: str, due_at: datetime, now: datetime) -> tuple[str, str]:
        """Exchange and routing key for a message that is due at `due_at`, rounded up to whole
        units. What is already due goes straight to delivery. Raises ValueError beyond reach."""
        # Whole numbers throughout: in floating point 2.007 s are a little more than 2007 ms.
        units = max(0, -((now - due_at) // timedelta(milliseconds=self.unit_ms)))
        if units == 0:
            return DELIVER, destination
        if units >= 2**self.levels:
            raise ValueError(f"{due_at} is beyond the ladder's reach of {self.reach_seconds} seconds")
        bits = format(units, f"0{self.levels}b")
        # Entering at the highest set bit spares the levels above it the work of handing down.
        return self.level(units.bit_length() - 1), ".".join((*bits, destination))

    def stays(self, number: int) -> str:
        """Binding pattern of the messages that wait on this level."""
        return "*." * (self.levels - 1 - number) + "1.#"

    def passes(self, number: int) -> str:
        """Binding pattern of the messages that skip this level."""
        return "*." * (self.levels - 1 - number) + "0.#"


def is_detour(exchange: str) -> bool:
    """Whether only Sitecrew can publish to this exchange: the ladder, or the default exchange straight to a queue.
    Nobody else has permission to write to them."""
    return exchange in ("", DELIVER) or exchange.startswith("delay.")


def destination(queue: str) -> str:
    """A queue's name as the last word of a routing key, which must not contain dots."""
    return queue.replace(".", "-")
