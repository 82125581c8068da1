"""Find mails for people."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from foundation.store.counts import by_state
from foundation.store.search import has_cause
from services.mailer.mails import MAILS, Mail, mails
from services.mailer.states import State

_other = mails.alias("other")
_newer = (
    select(_other.c.install_id)
    .where(_other.c.order_id == mails.c.order_id, _other.c.generation > mails.c.generation)
    .exists()
)


def latest(connection: Connection, name: str) -> Mail | None:
    """The mail of the install of this id; without one, that of the latest install of the order of this id."""
    of_order = MAILS.select().where(mails.c.order_id == name).order_by(mails.c.generation.desc()).limit(1)
    found = MAILS.get(connection, name)
    return found or next(iter(MAILS.read(connection.execute(of_order))), None)


def listing(
    connection: Connection,
    states: Sequence[State],
    limit: int,
    *,
    order_id: str | None = None,
    recipient: str | None = None,
    since: datetime | None = None,
    causes: Sequence[str] = (),
) -> list[Mail]:
    """Mails in these states, newest first; of one order, to one address, asked for since a time, for one of these
    causes."""
    wanted = [
        mails.c.state.in_(states),
        *([mails.c.order_id == order_id] if order_id else []),
        *([func.lower(mails.c.recipient) == recipient.lower()] if recipient else []),
        *([mails.c.created_at >= since] if since else []),
        *([has_cause(mails.c.cause, causes)] if causes else []),
    ]
    query = MAILS.select().where(*wanted).order_by(mails.c.created_at.desc(), mails.c.install_id).limit(limit)
    return MAILS.read(connection.execute(query))


def newest(connection: Connection, found: Sequence[Mail]) -> list[Mail]:
    """Those of them whose order has no newer mail: what is in the others opens nothing any more."""
    outdated = set(connection.execute(select(mails.c.install_id).where(_newer)).scalars())
    return [mail for mail in found if mail.install_id not in outdated]


def counts(connection: Connection) -> dict[State, int]:
    """How many mails are in each state."""
    return by_state(connection, mails.c.state, State)
