"""The rows that the mailer's handlers decide on, in memory for one transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from foundation.store.records import Loaded, lock
from schemas.envelope import Event
from schemas.installs import InstallCompleted
from schemas.orders import OrderAmended
from schemas.values import Model
from services.mailer.customers import CUSTOMERS, Corrected
from services.mailer.mails import MAILS, Mail
from services.mailer.recipients import RECIPIENTS, Recipient, Sent


@dataclass(frozen=True)
class MailRows:
    """The mails and corrected customers of some orders, and the addresses that the mails may go to."""

    mails: Loaded[Mail]
    customers: Loaded[Corrected]
    recipients: Loaded[Recipient]

    def free_at(self, mail: Mail, now: datetime, per_hour: int) -> datetime | None:
        """Return when the recipient's hourly limit lets the mail go; None for now."""
        known = self.recipients.get(mail.recipient.lower())
        return known.free_at(now, per_hour) if known else None

    def count(self, mail: Mail, now: datetime) -> None:
        """Count this mail towards the recipient's hourly limit."""
        address = mail.recipient.lower()
        known = self.recipients.get(address) or Recipient(address=address, sent=Sent(at={}), last_at=now)
        self.recipients.save(known.counted(mail.claim, now))

    def uncount(self, mail: Mail) -> None:
        """Count it no more: it was not sent after all."""
        if known := self.recipients.get(mail.recipient.lower()):
            self.recipients.save(known.uncounted(mail.claim))

    def sequence(self, data: Model) -> str | None:
        """Return the version of the mail that an event tells of."""
        return self.mails.sequence(vars(data).get("install_id"))

    def flush(self, connection: Connection) -> None:
        """Write what was changed."""
        self.mails.flush(connection)
        self.customers.flush(connection)
        self.recipients.flush(connection)


def load(connection: Connection, orders: Sequence[str], events: Sequence[Event[Any]]) -> MailRows:
    """Load and lock the rows of these orders; and the addresses, if one of the events may send a mail."""
    lock(connection, orders)
    mails, customers = MAILS.load(connection, orders), CUSTOMERS.load(connection, orders)
    sending = any(isinstance(event.data, InstallCompleted) for event in events)
    addresses = sorted({*_addresses(events, mails, customers)}) if sending else ()
    lock(connection, addresses)
    return MailRows(mails, customers, RECIPIENTS.load(connection, addresses))


def _addresses(events: Sequence[Event[Any]], mails: Loaded[Mail], customers: Loaded[Corrected]) -> Iterator[str]:
    """Yield every address that a mail can go to after these events."""
    yield from (address.lower() for mail in mails.all() for address in (mail.recipient, mail.completed.customer.email))
    yield from (known.customer.email.lower() for known in customers.all())
    yield from (
        event.data.customer.email.lower() for event in events if isinstance(event.data, InstallCompleted | OrderAmended)
    )
