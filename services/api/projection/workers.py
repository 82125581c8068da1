"""The replicas of all services, as their heartbeats tell of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Column, Connection, String, Table, delete, select

from foundation.store import PydanticJson, Utc, bulk
from foundation.store.types import metadata
from schemas.services import ServerStatus, ServiceHeartbeat

LOST = timedelta(seconds=30)
"""How long a replica may be silent before it counts as lost."""
_KEPT = timedelta(days=1)
"""How long a lost one is shown."""

workers = Table(
    "workers",
    metadata,
    Column("instance", String(200), primary_key=True),
    Column("service", String(200), primary_key=True),
    Column("seen_at", Utc, nullable=False),
    Column("heartbeat", PydanticJson(ServiceHeartbeat), nullable=False),
)


@dataclass(frozen=True)
class Replica:
    """One replica, as its last heartbeat described it."""

    seen_at: datetime
    told: ServiceHeartbeat

    def is_lost(self, now: datetime) -> bool:
        return now - self.seen_at > LOST

    @classmethod
    def all(cls, connection: Connection) -> list[Self]:
        """Return all replicas, by service and instance."""
        found = select(workers.c.seen_at, workers.c.heartbeat).order_by(workers.c.service, workers.c.instance)
        return [cls(seen_at, told) for seen_at, told in connection.execute(found)]


@dataclass(frozen=True)
class Timer:
    """When the next batch begins, as the installers' heartbeats say."""

    next_tick: datetime | None
    paused_since: datetime | None


def timer_of(replicas: Sequence[Replica], now: datetime) -> Timer:
    """Return what the living replicas say of the timer."""
    told = [replica.told for replica in replicas if not replica.is_lost(now)]
    ticks = (it.next_tick for it in told if it.next_tick)
    pauses = (it.paused_since for it in told if it.paused_since)
    return Timer(min(ticks, default=None), min(pauses, default=None))


def servers_of(replicas: Sequence[Replica], now: datetime) -> Sequence[ServerStatus]:
    """Return how the hosting servers stand, as the installer says that was heard of last."""
    told = [replica for replica in replicas if replica.told.servers and not replica.is_lost(now)]
    return (told and max(told, key=lambda replica: replica.seen_at).told.servers) or ()


def note(connection: Connection, told: ServiceHeartbeat, at: datetime) -> None:
    """Write down that a replica is alive."""
    row = {"instance": told.instance, "service": told.service, "seen_at": at, "heartbeat": told}
    bulk.put(connection, workers, row, dated="seen_at")


def note_timer(connection: Connection, paused_since: datetime | None) -> None:
    """Write down that the timer is paused or runs, which the next heartbeats will say."""
    for replica in Replica.all(connection):
        if replica.told.next_tick:
            note(connection, replica.told.model_copy(update={"paused_since": paused_since}), replica.seen_at)


def note_server(connection: Connection, changed: ServerStatus) -> None:
    """Write down how a server stands now, which the next heartbeats will say."""
    for replica in Replica.all(connection):
        known = replica.told.servers or ()
        if any(it.name == changed.name for it in known):
            servers = tuple(_as_now(it, changed) if it.name == changed.name else it for it in known)
            note(connection, replica.told.model_copy(update={"servers": servers}), replica.seen_at)


def _as_now(known: ServerStatus, changed: ServerStatus) -> ServerStatus:
    counted = {name: getattr(known, name) for name in ("concurrency", "running", "waiting")}
    return changed.model_copy(update=counted)


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove replicas that were lost a day ago."""
    connection.execute(delete(workers).where(workers.c.seen_at < now - _KEPT))
