"""How many letters an address has had within an hour: the mailer's table of addresses.

An address's row is locked while it is looked at, so that all replicas count together.
"""

from datetime import datetime, timedelta

from sqlalchemy import Column, String, Table, delete, select, update

from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.store import PydanticJson, Utc
from foundation.store.insert import insert_new
from foundation.store.types import metadata
from schemas.envelope import Moment
from schemas.values import Model

_HOUR = timedelta(hours=1)


class Sent(Model):
    """When letters went to one address, within the last hour or so."""

    at: tuple[Moment, ...] = ()


recipients = Table(
    "recipients",
    metadata,
    Column("address", String(320), primary_key=True),
    Column("sent", PydanticJson(Sent), nullable=False),
    Column("last_at", Utc, nullable=False, index=True),
)


def take(uow: UnitOfWork, address: str, per_hour: int) -> datetime | None:
    """Count one more letter to this address, now. If it has had as many as it may, count none, and say when it may
    have the next. 0 is no limit."""
    if not per_hour:
        return None
    recent = [moment for moment in _locked(uow, address) if moment > uow.now - _HOUR]
    if len(recent) >= per_hour:
        return sorted(recent)[-per_hour] + _HOUR
    _keep(uow, address, [*recent, uow.now])
    return None


def give_back(uow: UnitOfWork, address: str, moment: datetime) -> None:
    """What was counted at this moment was not sent after all."""
    recent = _locked(uow, address)
    if moment in recent:
        recent.remove(moment)
        _keep(uow, address, recent)


def forget_old(database: Database) -> None:
    """Delete the addresses to which nothing went within the hour."""
    with database.begin() as uow:
        old = select(recipients.c.address).where(recipients.c.last_at < uow.now - _HOUR)
        uow.execute(delete(recipients).where(recipients.c.address.in_(old.with_for_update(skip_locked=True))))


def _locked(uow: UnitOfWork, address: str) -> list[datetime]:
    insert_new(uow.connection, recipients, {"address": address.lower(), "sent": Sent(), "last_at": uow.now})
    row = select(recipients.c.sent).where(recipients.c.address == address.lower()).with_for_update()
    sent: Sent | None = uow.execute(row).scalar_one_or_none()
    return list(sent.at) if sent else _locked(uow, address)  # it was deleted in between


def _keep(uow: UnitOfWork, address: str, moments: list[datetime]) -> None:
    changes = {"sent": Sent(at=tuple(moments)), "last_at": uow.now}
    uow.execute(update(recipients).where(recipients.c.address == address.lower()).values(**changes))
