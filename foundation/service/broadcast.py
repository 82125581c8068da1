"""Events that may be lost: published at once and past the outbox, for whoever is watching just now."""

import threading
from contextlib import suppress
from queue import Empty, Full, Queue
from time import monotonic
from typing import Protocol

from foundation.broker import Confirmation, Message, Publisher, codec
from foundation.clock import Now
from foundation.handling.unit_of_work import new_id
from foundation.telemetry import tracing
from foundation.telemetry.tracing import Origin
from schemas import catalogue
from schemas.values import Model

_MOST = 1000
_TIMEOUT = 2.0
"""Seconds to wait for confirms; what is not sent by then is dropped."""
_UNHEARD = 5.0
"""Seconds without further events of a type after one that no queue took."""


class Tell(Protocol):
    """Publishes an event that may be lost. Never blocks, and never raises."""

    def __call__(self, data: Model, subject: str | None = None, cause: Origin | None = None, /) -> None: ...


def tell_nobody(_data: Model, _subject: str | None = None, _cause: Origin | None = None) -> None:
    """Publish nothing."""


class Broadcast:
    """Publishes from a thread of its own what others tell. While nobody listens to a type of event, it is published
    only now and then, to notice somebody who begins to."""

    def __init__(self, publisher: Publisher, service: str, now: Now) -> None:
        self._publisher = publisher
        self._source = f"/sitecrew/{service}"
        self._now = now
        self._waiting: Queue[Message | None] = Queue(_MOST)
        self._unheard: dict[str, float] = {}
        """Until when (monotonic seconds) nothing is published under a routing key."""

    def tell(self, data: Model, subject: str | None = None, cause: Origin | None = None, /) -> None:
        """Publish an event soon, or never. `subject` is the order's id. Thread-safe; never blocks."""
        entry = catalogue.by_model(type(data))
        if monotonic() < self._unheard.get(entry.routing_key, 0.0):
            return
        told = {"time": self._now(), **tracing.carried(cause)}
        event = codec.envelope(data, id=new_id(), source=self._source, subject=subject, **told)
        with suppress(Full):
            self._waiting.put_nowait(
                Message(
                    exchange=entry.exchange,
                    routing_key=entry.routing_key,
                    body=codec.encode(event),
                    message_id=event.id,
                    type=event.type,
                    correlation_id=subject or "",
                    content_type=codec.CONTENT_TYPE,
                )
            )

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set."""
        while not stop.is_set():
            self.run_once(1.0)

    def interrupt(self) -> None:
        """Make `run` check `stop` at once."""
        with suppress(Full):
            self._waiting.put_nowait(None)

    def run_once(self, timeout: float) -> None:
        """Publish what was told, waiting up to `timeout` seconds for it."""
        told = [message for message in self._collect(timeout) if message]
        for message, outcome in zip(told, self._publisher.publish(told, _TIMEOUT), strict=True):
            if outcome == Confirmation.UNROUTABLE:
                self._unheard[message.routing_key] = monotonic() + _UNHEARD

    def _collect(self, timeout: float) -> list[Message | None]:
        told = []
        with suppress(Empty):
            told.append(self._waiting.get(timeout=timeout))
            while True:
                told.append(self._waiting.get_nowait())
        return told
