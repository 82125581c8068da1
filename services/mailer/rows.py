"""What the mailer decides on: all that it keeps of some orders, in memory for one transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from foundation.store.records import Loaded, lock
from schemas.envelope import Event
from schemas.installs import InstallCompleted
from schemas.orders import OrderAmended
from services.mailer.customers import CUSTOMERS, Corrected
from services.mailer.mails import MAILS, Mail
from services.mailer.recipients import RECIPIENTS, Recipient, Sent


@dataclass(frozen=True)
class MailRows:
    """The mails and the corrected customers of some orders, and the addresses that they may be sent to."""

    mails: Loaded[Mail]
    customers: Loaded[Corrected]
    recipients: Loaded[Recipient]

    def free_at(self, mail: Mail, now: datetime, per_hour: int) -> datetime | None:
        """When the mail's recipient may have it, if not now."""
        known = self.recipients.get(mail.recipient.lower())
        return known.free_at(now, per_hour) if known else None

    def count(self, mail: Mail, now: datetime) -> None:
        """The recipient will have this mail."""
        address = mail.recipient.lower()
        known = self.recipients.get(address) or Recipient(address=address, sent=Sent(at={}), last_at=now)
        self.recipients.save(known.counted(mail.claim, now))

    def uncount(self, mail: Mail) -> None:
        """He has not had it after all."""
        if known := self.recipients.get(mail.recipient.lower()):
            self.recipients.save(known.uncounted(mail.claim))

    def flush(self, connection: Connection) -> None:
        """Write what was changed."""
        self.mails.flush(connection)
        self.customers.flush(connection)
        self.recipients.flush(connection)


def load(connection: Connection, orders: Sequence[str], events: Sequence[Event[Any]]) -> MailRows:
    """The rows of these orders; and the addresses, if a mail may be sent."""
    lock(connection, orders)
    mails, customers = MAILS.load(connection, orders), CUSTOMERS.load(connection, orders)
    sending = any(isinstance(event.data, InstallCompleted) for event in events)
    addresses = sorted({*_addresses(events, mails, customers)}) if sending else ()
    lock(connection, addresses)
    return MailRows(mails, customers, RECIPIENTS.load(connection, addresses))


def _addresses(events: Sequence[Event[Any]], mails: Loaded[Mail], customers: Loaded[Corrected]) -> Iterator[str]:
    """All that a mail can go to after these events."""
    yield from (mail.recipient.lower() for mail in mails.all())
    yield from (known.customer.email.lower() for known in customers.all())
    yield from (
        event.data.customer.email.lower() for event in events if isinstance(event.data, InstallCompleted | OrderAmended)
    )
