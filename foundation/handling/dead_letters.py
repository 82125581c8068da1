"""Report messages that the broker dead-letters by itself, which no service would otherwise notice."""

import threading
from collections.abc import Callable

import structlog

from foundation.broker import Consumer, Delivery, codec
from foundation.broker.causes import MESSAGE_CAUSES
from foundation.broker.codec import Malformed
from foundation.config.queues import PARKED, WORK_QUEUES
from foundation.errors import StoreUnreachable
from foundation.handling.death import death_of
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.telemetry.health import Heartbeats
from foundation.telemetry.metrics import Metrics

_AT_A_TIME = 20
_log = structlog.get_logger(__name__)

Refusal = Callable[[UnitOfWork, Malformed], None]


class DeadLetters:
    """Consumes a copy of each message that the broker has dead-lettered, logs and counts it, and reports orders."""

    def __init__(
        self, database: Database, queue: str, refused: Refusal, metrics: Metrics, heartbeats: Heartbeats
    ) -> None:
        """`refused` is called for each message that was dead-lettered from `queue`."""
        self._database = database
        self._queue = queue
        self._refused = refused
        self._metrics = metrics
        self._heartbeats = heartbeats
        for name in WORK_QUEUES:
            metrics.dead_lettered.labels(name, "delivery_limit")  # create it at 0: starting at 1 shows no increase

    def run(self, open_queue: Callable[[str, int], Consumer], stop: threading.Event) -> None:
        consumer = open_queue(PARKED, _AT_A_TIME)
        while not stop.is_set():
            self._heartbeats.beat(PARKED)
            self.run_once(consumer, stop, timeout=1.0)
        self._heartbeats.end(PARKED)
        consumer.close()

    def run_once(self, consumer: Consumer, stop: threading.Event, timeout: float) -> int:
        """Handle what has arrived, waiting up to `timeout` seconds for it; return the number of messages."""
        taken = consumer.take(_AT_A_TIME, timeout)
        while taken and not stop.is_set():
            try:
                with self._database.begin() as uow:
                    for delivery in taken:
                        self._look(uow, delivery)
                consumer.settle(taken)
                break
            except StoreUnreachable as error:
                _log.warning("store.unreachable", queue=PARKED, reason=str(error))
                stop.wait(1)
        return len(taken)

    def _look(self, uow: UnitOfWork, delivery: Delivery) -> None:
        death = death_of(delivery)
        if death is None or death.reason == "rejected":  # a service rejected it, and has reported it
            return
        self._metrics.dead_lettered.labels(death.queue, death.reason).inc()
        _log.error("message.dead_lettered", queue=death.queue, code=death.reason, message_id=delivery.message_id)
        if death.queue == self._queue:
            detail = "was delivered to our workers again and again but never settled: they crashed or lost the broker"
            code = death.reason if death.reason in MESSAGE_CAUSES else "delivery_limit"
            problem = Malformed(code, "body", detail, _document(delivery))
            self._refused(uow, problem)


def _document(delivery: Delivery) -> dict[str, object]:
    """Return as much of the event as can be decoded. It may crash workers, so nothing else is done with it."""
    try:
        event = codec.decode(delivery.body, delivery.content_type, delivery.headers)
    except Malformed as problem:
        return dict(problem.document)
    return event.model_dump(mode="json", exclude_none=True)
