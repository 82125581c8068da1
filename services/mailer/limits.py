"""How many letters an address has had within an hour: the mailer's table of addresses.

An address's row is locked while it is looked at, so that all replicas count together.
"""

from datetime import datetime, timedelta

from sqlalchemy import Column, String, Table, delete, select, update

from foundation.handling.tx import Ledger, Tx
from foundation.store import Kept, Utc
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
    Column("last_at", Utc, nullable=False, index=True),
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


def forget_old(ledger: Ledger) -> None:
    """Delete the addresses to which nothing went within the hour."""
    with ledger.transaction() as tx:
        old = select(recipients.c.address).where(recipients.c.last_at < tx.now - _HOUR)
        tx.execute(delete(recipients).where(recipients.c.address.in_(old.with_for_update(skip_locked=True))))


def _locked(tx: Tx, address: str) -> list[datetime]:
    insert_new(tx.connection, recipients, {"address": address.lower(), "sent": Sent(), "last_at": tx.now})
    row = select(recipients.c.sent).where(recipients.c.address == address.lower()).with_for_update()
    sent: Sent | None = tx.execute(row).scalar_one_or_none()
    return list(sent.at) if sent else _locked(tx, address)  # it was deleted in between


def _keep(tx: Tx, address: str, moments: list[datetime]) -> None:
    changes = {"sent": Sent(at=tuple(moments)), "last_at": tx.now}
    tx.execute(update(recipients).where(recipients.c.address == address.lower()).values(**changes))
