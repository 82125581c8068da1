"""How many mails an address has had within an hour: table and record.

An address is locked while it is counted, so the limit holds for all replicas together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Column, Table, delete, select

from foundation.handling.unit_of_work import Database
from foundation.store import PydanticJson, Utc
from foundation.store.frozen import replace
from foundation.store.records import Records
from foundation.store.types import Bytewise, metadata
from schemas.envelope import Moment
from schemas.values import Model

_HOUR = timedelta(hours=1)


class Sent(Model):
    """When mails went to one address within the last hour or so, by the attempts that sent them."""

    at: dict[str, Moment]


recipients = Table(
    "recipients",
    metadata,
    Column("address", Bytewise(320), primary_key=True),
    Column("sent", PydanticJson(Sent), nullable=False),
    Column("last_at", Utc, nullable=False, index=True),
)


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """One address, in lower case."""

    address: str
    sent: Sent
    last_at: datetime

    def free_at(self, now: datetime, per_hour: int) -> datetime | None:
        """Return when the address may have its next mail; None for now."""
        recent = sorted(moment for moment in self.sent.at.values() if moment > now - _HOUR)
        return recent[-per_hour] + _HOUR if len(recent) >= per_hour else None

    def counted(self, claim: str, now: datetime) -> Self:
        """Return the row with one more mail, sent by this attempt."""
        recent = {name: moment for name, moment in self.sent.at.items() if moment > now - _HOUR}
        return replace(self, sent=Sent.model_construct(at={**recent, claim: now}), last_at=now)

    def uncounted(self, claim: str) -> Self:
        """Return the row without this attempt's mail, which was not sent after all."""
        rest = {name: moment for name, moment in self.sent.at.items() if name != claim}
        return replace(self, sent=Sent.model_construct(at=rest))


RECIPIENTS = Records(recipients, Recipient, key="address")


def forget_old(database: Database) -> None:
    """Delete the addresses that have had no mail for an hour."""
    old = select(recipients.c.address).where(recipients.c.last_at < database.now() - _HOUR)
    with database.store.transaction() as connection:
        connection.execute(delete(recipients).where(recipients.c.address.in_(old.with_for_update(skip_locked=True))))
