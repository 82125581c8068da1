"""Rebuild the projection: forget all orders, installs and letters; the services tell of them again."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, String, Table, delete, func, select

from foundation.store import Utc
from foundation.store.records import lock
from foundation.store.types import metadata
from schemas.services import ServiceReplayed
from services.api.projection.numbers import numbers
from services.api.projection.views import RECORDS_LOCK, install_views, letter_views, order_views

TOLD_BY: Mapping[str, Table] = {"order-intake": order_views, "installer": install_views, "mailer": letter_views}
"""Which records are the rows of which service."""


LONGEST = timedelta(hours=1)
"""How long a rebuild is taken to go on."""

awaited = Table(
    "awaited", metadata, Column("service", String(64), primary_key=True), Column("since", Utc, nullable=False)
)
"""The services that have not told of all their rows since these were forgotten."""


def forget(connection: Connection, now: datetime) -> None:
    """Remove the records. Activity, staff, tokens, webhooks and parked messages stay: no service could tell of them."""
    lock(connection, [RECORDS_LOCK])
    for table in (*TOLD_BY.values(), numbers, awaited):
        connection.execute(delete(table))
    connection.execute(awaited.insert(), [{"service": service, "since": now} for service in TOLD_BY])


def note(connection: Connection, told: ServiceReplayed) -> None:
    """Note that a service has told of all its rows."""
    connection.execute(delete(awaited).where(awaited.c.service == told.service))


def is_under_way(connection: Connection, now: datetime) -> bool:
    """Whether records are missing because they are being told of again."""
    return connection.execute(select(awaited.c.service).where(awaited.c.since > now - LONGEST)).first() is not None


def is_needless(connection: Connection) -> bool:
    """Whether there are no records yet that could be out of date."""
    return not any(counted(connection).values())


def counted(connection: Connection) -> dict[str, int]:
    """Return how many records there are of each service's rows."""
    return {
        service: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for service, table in TOLD_BY.items()
    }
