"""A queue of parked messages, as a command works with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from foundation.broker import Broker, Confirmation
from foundation.handling import parking, requeueing
from foundation.handling.parking import Parked
from sitecrew.cli.client import sending


class Place(Protocol):
    """A queue of parked messages."""

    @property
    def queue(self) -> str:
        """Its name."""

    def browse(self) -> list[Parked]:
        """Return all messages, the oldest first."""

    def requeue(self, chosen: Sequence[Parked]) -> Iterator[tuple[Parked, Confirmation]]:
        """Put messages back into the queues that they came from, and yield what became of each."""

    def purge(self, chosen: Sequence[Parked]) -> list[str]:
        """Delete messages; return the names of those that were still there."""

    def original(self, parked: Parked) -> bytes:
        """Return a message's whole body, to be corrected. It may hold secrets."""

    def correct(self, parked: Parked, body: bytes) -> Confirmation:
        """Requeue a message with another body. Raises Malformed if it is no valid event then."""


@dataclass(frozen=True)
class OnBroker:
    """The queue itself."""

    broker: Broker
    queue: str

    def browse(self) -> list[Parked]:
        return parking.browse(self.broker, self.queue)

    def requeue(self, chosen: Sequence[Parked]) -> Iterator[tuple[Parked, Confirmation]]:
        return requeueing.requeue(self.broker, self.queue, chosen, sending.event)

    def purge(self, chosen: Sequence[Parked]) -> list[str]:
        return requeueing.purge(self.broker, self.queue, chosen, sending.event)

    def original(self, parked: Parked) -> bytes:
        return parked.delivery.body

    def correct(self, parked: Parked, body: bytes) -> Confirmation:
        return requeueing.requeue_edited(self.broker, self.queue, parked, body, sending.event)
