"""Rebuild the projection: forget all orders, installs and letters; the services tell of them again."""

from collections.abc import Mapping

from sqlalchemy import Connection, Table, delete, func, select

from foundation.store.records import lock
from services.api.projection.numbers import numbers
from services.api.projection.views import RECORDS_LOCK, install_views, letter_views, order_views

TOLD_BY: Mapping[str, Table] = {"order-intake": order_views, "installer": install_views, "mailer": letter_views}
"""Which records are the rows of which service."""


def forget(connection: Connection) -> None:
    """Remove the records. Activity, staff, tokens, webhooks and parked messages stay: no service could tell of them."""
    lock(connection, [RECORDS_LOCK])
    for table in (*TOLD_BY.values(), numbers):
        connection.execute(delete(table))


def is_needless(connection: Connection) -> bool:
    """Whether there are no records yet that could be out of date."""
    return not any(counted(connection).values())


def counted(connection: Connection) -> dict[str, int]:
    """Return how many records there are of each service's rows."""
    return {
        service: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for service, table in TOLD_BY.items()
    }
