"""Rebuild the projection: forget all orders, installs and letters; the services tell of them again."""

from collections.abc import Mapping

from sqlalchemy import Connection, Table, delete, func, select

from services.api.projection.views import install_views, letter_views, order_views

TOLD_BY: Mapping[str, Table] = {"order-intake": order_views, "installer": install_views, "mailer": letter_views}
"""Which records are the rows of which service."""


def forget(connection: Connection) -> None:
    """Remove the records. Activity, staff, tokens, webhooks and parked messages stay: no service could tell of them."""
    for table in TOLD_BY.values():
        connection.execute(delete(table))


def counted(connection: Connection) -> dict[str, int]:
    """Return how many records there are of each service's rows."""
    return {
        service: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for service, table in TOLD_BY.items()
    }
