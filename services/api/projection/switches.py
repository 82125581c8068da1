"""What staff have set at run time, as the services confirm it."""

from sqlalchemy import Column, Connection, String, Table

from foundation.store import PydanticJson, Utc, bulk
from foundation.store.types import metadata
from schemas.services import SiteTypeConfigured

switches = Table(
    "switches",
    metadata,
    Column("service", String(200), primary_key=True),
    Column("site_type", String(32), primary_key=True),
    Column("told", PydanticJson(SiteTypeConfigured), nullable=False),
    Column("at", Utc, nullable=False),
)


def note(connection: Connection, told: SiteTypeConfigured, at: object) -> None:
    """Write down how a service handles a site type from now on."""
    row = {"service": told.service, "site_type": told.site_type, "told": told, "at": at}
    bulk.put(connection, switches, row, dated="at")
