"""How welcome emails look, as the mailer has rendered them for staff, with their passwords masked."""

from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, String, Table, delete, select

from foundation.store import PydanticJson, Utc, bulk
from foundation.store.types import metadata
from schemas.mails import PreviewRendered

_KEPT = timedelta(hours=1)

previews = Table(
    "previews",
    metadata,
    Column("install_id", String(80), primary_key=True),
    Column("told", PydanticJson(PreviewRendered), nullable=False),
    Column("at", Utc, nullable=False),
)


def note(connection: Connection, told: PreviewRendered, at: datetime) -> None:
    """Keep a preview for whoever asked for it."""
    bulk.put(connection, previews, {"install_id": told.install_id, "told": told, "at": at}, dated="at")


def latest(connection: Connection, install_id: str) -> tuple[PreviewRendered, datetime] | None:
    """Return an install's newest preview, and when it was rendered; None if there is none."""
    row = connection.execute(select(previews.c.told, previews.c.at).where(previews.c.install_id == install_id)).first()
    return (row.told, row.at) if row else None


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove those that were rendered an hour ago."""
    connection.execute(delete(previews).where(previews.c.at < now - _KEPT))
