"""Keep the projection: take what is published, and write what it tells.

The projection can be lost: a rebuild has the services tell of all their rows again. So an event that
cannot be understood is logged and passed over, and nothing is ever parked from here.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import sleep
from typing import Any

import structlog
from sqlalchemy import Connection

from foundation.broker import Broker, Consumer, Delivery, codec
from foundation.broker.codec import Malformed
from foundation.clock import Now
from foundation.errors import BrokerUnreachable, StoreConflict, StoreUnreachable
from foundation.handling.pace import TOGETHER
from foundation.store import Store
from foundation.store.records import lock
from foundation.telemetry.health import Heartbeats
from schemas.envelope import Event
from schemas.installs import InstallProgress, TimerPaused, TimerResumed
from schemas.mails import PreviewRendered
from schemas.servers import ServerClosed, ServerOpened
from schemas.services import ServerStatus, ServiceHeartbeat, ServiceReplayed, SiteTypeConfigured
from services.api.projection import activity, lag, numbers, previews, rebuilding, steps, switches, workers
from services.api.projection.activity import Line
from services.api.projection.telling import Telling, tellings, version
from services.api.projection.views import (
    INSTALL,
    ORDER,
    RECORDS,
    RECORDS_LOCK,
    InstallView,
    LetterView,
    News,
    OrderView,
    View,
)

_AT_A_TIME = 500
_LATE = timedelta(seconds=5)
"""Events that are older show that others wait, even if few have come at once."""

_log = structlog.get_logger(__name__)

Read = Callable[[Delivery], Any]
"""Makes of a delivery what is written of it: something with `id`, `type` and `time`. Raises Malformed."""
Write = Callable[[Connection, Sequence[Any], datetime], None]
"""Writes what deliveries were read as, in one transaction with the other things that are written of them."""


def _standing(opened: ServerOpened) -> ServerStatus:
    told = {name: getattr(opened, name) for name in ("state", "since", "until", "cause", "reason")}
    return ServerStatus(name=opened.server, **told)


_NOTED: Mapping[type[Any], Callable[[Connection, Event[Any], datetime], None]] = {
    InstallProgress: steps.note,
    ServiceHeartbeat: lambda connection, event, at: workers.note(connection, event.data, at),
    PreviewRendered: lambda connection, event, at: previews.note(connection, event.data, event.time or at),
    TimerPaused: lambda connection, event, _at: workers.note_timer(connection, event.data.since),
    TimerResumed: lambda connection, _event, _at: workers.note_timer(connection, None),
    ServiceReplayed: lambda connection, event, _at: rebuilding.note(connection, event.data),
    ServerOpened: lambda connection, event, _at: workers.note_server(connection, _standing(event.data)),
    ServerClosed: lambda connection, event, _at: workers.note_server(connection, ServerStatus(name=event.data.server)),
    SiteTypeConfigured: lambda connection, event, at: switches.note(connection, event.data, event.time or at),
}


def project(connection: Connection, events: Sequence[Event[Any]], now: datetime) -> None:
    """Write what these events tell: records, log lines, steps and replicas. The outcome does not depend on their order,
    nor on how often each of them comes."""
    told = defaultdict[tuple[str, str], list[tuple[Event[Any], Telling]]](list)
    for event in events:
        for telling in tellings(event):
            id = event.data.order_id if telling.of == ORDER else event.data.install_id
            told[telling.of, id].append((event, telling))
    owners = {heard[0][0].data.order_id for heard in told.values()}
    lock(connection, [RECORDS_LOCK] if told else [])
    rows = {of: records.load(connection, owners) for of, records in RECORDS.items()}
    states = Counter[tuple[str, str]]()
    for (of, id), heard in told.items():
        known = rows[of].get(id)
        view = known or _unknown(of, heard[0][0].data)
        news = (News(it.facet, version(event, it), it.fields, event.time or now) for event, it in heard)
        saved = rows[of].save(view.told(news))
        states[of, saved.state] += 1
        if known:
            states[of, known.state] -= 1
    for loaded in rows.values():
        loaded.flush(connection)
    numbers.change(connection, states)
    lines = (activity.line_of(event, now) for event in events)
    activity.write(connection, [line for line in lines if isinstance(line, Line)])
    for event in events:
        if note := _NOTED.get(type(event.data)):
            note(connection, event, now)


def _unknown(of: str, data: Any) -> View:
    """Return a record of which nothing was told yet."""
    if of == ORDER:
        return OrderView(order_id=data.order_id)
    named = {"install_id": data.install_id, "order_id": data.order_id, "generation": data.generation}
    return InstallView(**named) if of == INSTALL else LetterView(**named)


class Projector:
    """Consumes one queue, and projects what it delivers."""

    def __init__(
        self,
        queue: str,
        store: Store,
        broker: Broker,
        now: Now,
        heartbeats: Heartbeats,
        writes: Sequence[Write] = (project,),
        read: Read = codec.read,
    ) -> None:
        self._queue = queue
        self._store = store
        self._broker = broker
        self._now = now
        self._heartbeats = heartbeats
        self._writes = writes
        self._read = read
        self.moved = threading.Condition()
        """Notified after each transaction, for whoever waits for news."""
        self._behind_since: datetime | None = None
        """When the newest event happened that is projected, or in hand, while more wait."""
        self._says_behind: bool | None = None
        """Whether the database says that more wait; None: another process may have left it so."""

    def behind(self) -> float:
        """Return for how many seconds of events the projection is behind; 0 if none wait, or another replica
        projects."""
        since = self._behind_since
        return max(0.0, (self._now() - since).total_seconds()) if since else 0.0

    def waiting(self) -> Mapping[str, float]:
        """Return how many events wait, by queue; nothing while the broker is away."""
        try:
            depth = None if self._broker.disconnected() else self._broker.depth(self._queue)
        except BrokerUnreachable:
            return {}
        return {} if depth is None else {self._queue: depth}

    def run(self, stop: threading.Event) -> None:
        """Project until `stop` is set."""
        consumer = self._broker.consumer(self._queue, _AT_A_TIME)
        self._heartbeats.watch(self._queue, lambda: 0)
        while not stop.is_set():
            self._heartbeats.beat(self._queue)
            self.run_once(consumer, stop)
        self._heartbeats.end(self._queue)
        consumer.close()

    def run_once(self, consumer: Consumer, stop: threading.Event, timeout: float = 1.0) -> int:
        """Project what is there, after waiting up to `timeout` seconds for it; return how many deliveries it was."""
        taken = consumer.take(_AT_A_TIME, timeout)
        if 1 < len(taken) < _AT_A_TIME:
            sleep(TOGETHER)
            taken += consumer.take(_AT_A_TIME - len(taken), 0)
        events = [event for delivery in taken if (event := self._event(delivery))]
        self._behind_since = self._newest(events, len(taken))
        while (taken or self._says_behind) and not self._projected(events):
            self._heartbeats.beat(self._queue)
            if stop.wait(1):
                return 0  # they are the broker's again
        if taken:
            consumer.settle(taken)
            with self.moved:
                self.moved.notify_all()
        return len(taken)

    def _newest(self, events: Sequence[Any], taken: int) -> datetime | None:
        """Return when the newest of these events happened; None if it seems that no more wait."""
        now = self._now()
        times = [event.time for event in events if event.time and not getattr(event, "replay", False)]
        newest: datetime = max(times, default=self._behind_since or now)
        return newest if taken >= _AT_A_TIME or (taken and now - newest > _LATE) else None

    def _projected(self, events: Sequence[Any]) -> bool:
        """Write them, and pass over what cannot be; return False if the database is away."""
        try:
            self._write(events)
        except (StoreUnreachable, StoreConflict) as error:
            _log.warning("store.unreachable", queue=self._queue, reason=str(error))
            return False
        except Exception:  # noqa: BLE001  # one of them is at fault; trying each alone shows which
            return all(self._projected_alone(event) for event in events)
        return True

    def _projected_alone(self, event: Any) -> bool:
        try:
            self._write([event])
        except (StoreUnreachable, StoreConflict):
            return False
        except Exception:  # noqa: BLE001  # a bug of ours, or a value that no database takes
            _log.exception("projection.skipped", type=event.type, message_id=event.id)
        return True

    def _write(self, events: Sequence[Any]) -> None:
        now = self._now()
        with self._store.transaction() as connection:
            for write in self._writes:
                write(connection, events, now)
            if self._behind_since or self._says_behind is not False:
                lag.note(connection, self._queue, self._behind_since)
        self._says_behind = self._behind_since is not None

    def _event(self, delivery: Delivery) -> Any:
        try:
            return self._read(delivery)
        except Malformed as problem:
            _log.info("projection.unreadable", queue=self._queue, reason=str(problem))
            return None
