"""How many letters an address has had within an hour: the mailer's table of addresses.

An address's row is locked while it is looked at, so that all replicas count together.
"""

from datetime import datetime, timedelta

from sqlalchemy import Column, String, Table, select, update

from foundation.runtime.tx import Tx
from foundation.store import Kept
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
    Column("sent", Kept(Sent), nullable=False),
)


def take(tx: Tx, address: str, per_hour: int) -> datetime | None:
    """Count one more letter to this address, now. If it has had as many as it may, count none, and say when it may
    have the next. 0 is no limit."""
    if not per_hour:
        return None
    recent = [moment for moment in _locked(tx, address) if moment > tx.now - _HOUR]
    if len(recent) >= per_hour:
        return sorted(recent)[-per_hour] + _HOUR
    _keep(tx, address, [*recent, tx.now])
    return None


def give_back(tx: Tx, address: str, moment: datetime) -> None:
    """What was counted at this moment was not sent after all."""
    recent = _locked(tx, address)
    if moment in recent:
        recent.remove(moment)
        _keep(tx, address, recent)


def _locked(tx: Tx, address: str) -> list[datetime]:
    insert_new(tx.connection, recipients, {"address": address.lower(), "sent": Sent()})
    row = select(recipients.c.sent).where(recipients.c.address == address.lower()).with_for_update()
    sent: Sent = tx.execute(row).scalar_one()
    return list(sent.at)


def _keep(tx: Tx, address: str, moments: list[datetime]) -> None:
    tx.execute(update(recipients).where(recipients.c.address == address.lower()).values(sent=Sent(at=tuple(moments))))
