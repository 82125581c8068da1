"""What an audit reads of mails: a few columns, so that it can read them all."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from foundation.store.streaming import in_order
from services.mailer.mails import mails
from services.mailer.states import State


class MailFacts(NamedTuple):
    """One mail."""

    install_id: str
    order_id: str
    generation: int
    state: State
    has_outcome: bool
    """Whether it says as what it was sent, or why it was not."""
    check_at: datetime | None
    created_at: datetime
    sent_at: datetime | None

    @property
    def touched_at(self) -> datetime:
        """When something last happened to it, as far as its row says."""
        return max(self.created_at, self.sent_at or self.created_at)


_FACTS = select(
    mails.c.install_id,
    mails.c.order_id,
    mails.c.generation,
    mails.c.state,
    or_(*(mails.c[name].is_not(None) for name in ("message_id", "cause", "reason"))),
    mails.c.check_at,
    mails.c.created_at,
    mails.c.sent_at,
)


def facts(connection: Connection, only: Sequence[str] | None = None) -> Iterator[MailFacts]:
    """Yield all mails, or those of these orders, in the order of their orders' ids."""
    return map(MailFacts._make, in_order(connection, _FACTS, mails.c.order_id, only))
