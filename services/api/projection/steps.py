"""The steps of installs' attempts, with their times; live while an attempt runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, String, Table, select, update

from foundation.store import Utc
from foundation.store.types import metadata
from schemas.envelope import Event
from schemas.installs import InstallProgress

steps = Table(
    "steps",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("install_id", String(80), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", String(200), nullable=False),
    Column("begun_at", Utc, nullable=False),
    Column("seconds", Float),
    Index("ix_steps_install_id_id", "install_id", "id"),
    Index("ix_steps_begun_at", "begun_at"),
)


def note(connection: Connection, event: Event[InstallProgress], at: datetime) -> None:
    """Write down that a step has begun, or how long it took."""
    told = event.data
    same = (steps.c.install_id == told.install_id, steps.c.attempt == told.attempt, steps.c.step == told.step)
    begun_at = event.time or at
    if told.seconds is None:
        running = connection.execute(select(steps.c.id).where(*same, steps.c.begun_at == begun_at)).first()
        if running is None:
            row: dict[str, Any] = {"install_id": told.install_id, "attempt": told.attempt, "step": told.step}
            connection.execute(steps.insert().values(**row, begun_at=begun_at))
        return
    latest = select(steps.c.id).where(*same, steps.c.seconds.is_(None)).order_by(steps.c.id.desc()).limit(1)
    ended = update(steps).where(steps.c.id == latest.scalar_subquery()).values(seconds=told.seconds)
    connection.execute(ended)
