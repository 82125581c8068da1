"""The api wired up: it projects what is published, serves the HTTP API and the console, and posts webhooks."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, delete, func, select

from foundation.config.queues import API_EVENTS, API_PARKED
from foundation.config.settings import Settings
from foundation.service.lanes import Gauge, Lane, Loop, Parts, Periodic
from foundation.store.counts import by_state
from schemas.services import ServiceReplay
from services.api import asking
from services.api.access import sessions, throttle
from services.api.alerts import alerts
from services.api.asking import asked
from services.api.desk import Desk, load
from services.api.finding.figures import Figures
from services.api.http.app import app_of
from services.api.http.server import Server
from services.api.parked import acting, messages
from services.api.parked.messages import Copy
from services.api.projection import previews, rebuilding, vouching, workers
from services.api.projection.activity import activity
from services.api.projection.projector import Projector, project
from services.api.projection.steps import steps
from services.api.webhooks import deliveries
from services.api.webhooks.dispatcher import Dispatcher

__all__ = ["MIGRATIONS", "ApiService", "load"]

_log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"


class ApiService:
    """The api."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings.api
        self._parts = parts
        with parts.store.reading() as connection:  # first: if the store is away, all this is done again
            if rebuilding.is_needless(connection):
                parts.broker.missed.clear()
        vouchers = settings.vouching(parts.broker.user)
        self.projector = Projector(
            API_EVENTS,
            parts.store,
            parts.broker,
            parts.now,
            parts.heartbeats,
            writes=[project, asking.answered, messages.closed, deliveries.note],
            read=lambda delivery: vouching.read(delivery, vouchers),
        )
        self.copies = Projector(
            API_PARKED,
            parts.store,
            parts.broker,
            parts.now,
            parts.heartbeats,
            writes=[messages.note, asking.set_aside],
            read=lambda delivery: Copy.of(delivery, parts.broker.user),
        )
        parts.metrics.on_scrape(
            "projection_behind_seconds",
            "Age of the newest event that the projection has, while more wait",
            "",
            lambda: {"": self.projector.behind()},
        )
        parts.metrics.on_scrape(
            "projection_messages", "Messages that the projection has yet to take", "queue", self.projector.waiting
        )
        parts.metrics.on_scrape(
            "projection_gaps", "Replays asked for because a queue was gone", "", lambda: {"": self._gaps}
        )
        self._gaps = 0
        self.dispatcher = Dispatcher(parts.store, parts.now, settings.api, parts.heartbeats)
        self.desk = Desk(settings, parts.database, parts.broker, self.projector, Figures(parts.broker))
        self.server = Server(settings.api, app_of(self.desk))

    def lanes(self) -> Sequence[Lane]:
        return ()

    def loops(self) -> Sequence[Loop]:
        self.server.listen()  # here, so that a wrong address is a wrong setting rather than a broken loop
        return (self.projector.run, self.copies.run, self.dispatcher.run, self.server.run)

    def periodic(self) -> Sequence[Periodic]:
        return (
            Periodic("forget_old", 3600, self._forget_old),
            Periodic("release_webhooks", 10, self._release_webhooks),
            Periodic("look_for_alerts", 30, self.look_for_alerts),
            Periodic("close_gap", 10, self.close_gap),
        )

    def vitals(self) -> Mapping[str, Any]:
        return {"queues": (API_EVENTS, API_PARKED)}

    def gauges(self) -> Sequence[Gauge]:
        return (
            Gauge("asked", "What was asked of services, by outcome", _outcomes),
            Gauge.of_one("activity_newest", "Number of the newest line of the activity log", _newest_line),
            Gauge("webhook_deliveries", "Webhook deliveries that are not delivered, by state", deliveries.numbers),
        )

    def close_gap(self) -> None:
        """If a queue of ours was gone, and events with it, have the services tell of their rows again."""
        broker = self._parts.broker
        if not (gone := sorted(broker.missed)):
            return
        acting.compare(self._parts.store, broker, self._parts.now)
        with self._parts.database.begin() as uow:
            uow.emit(ServiceReplay(), None)
        broker.missed.difference_update(gone)
        self._gaps += 1
        _log.warning("projection.gap", queue=", ".join(gone))

    def look_for_alerts(self) -> None:
        """Tell staff what has begun to need them, and what no longer does."""
        with self._parts.database.begin() as uow:
            alerts.look(uow, self.desk.settings)

    def _release_webhooks(self) -> None:
        with self._parts.store.transaction() as connection:
            deliveries.release_held(connection, self._parts.now())

    def _forget_old(self) -> None:
        now = self._parts.now()
        before = now - timedelta(days=self._settings.activity_days)
        with self._parts.store.transaction() as connection:
            connection.execute(delete(activity).where(activity.c.at < before))
            connection.execute(delete(steps).where(steps.c.begun_at < before))
            workers.forget_old(connection, now)
            previews.forget_old(connection, now)
            asking.forget_old(connection, now)
            sessions.forget_old(connection, now)
            throttle.forget_old(connection, now)
            deliveries.forget_old(connection, now)


def _outcomes(connection: Connection) -> dict[asking.Outcome, int]:
    return by_state(connection, asked.c.outcome, asking.Outcome)


def _newest_line(connection: Connection) -> float:
    return float(connection.execute(select(func.max(activity.c.id))).scalar() or 0)
