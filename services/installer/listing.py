"""Installs as people look for them: by what they know of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, tuple_

from foundation.store.search import beyond, has_code, is_about, mentions, seen
from services.installer.installs import INSTALLS, Install, installs
from services.installer.states import MailState, State


@dataclass(frozen=True)
class Wanted:
    """Which installs; what is empty or None does not narrow them."""

    states: Collection[State] = ()
    failed_letters: bool = False
    """Also installed ones whose letter has failed."""
    order_id: str = ""
    causes: Collection[str] = ()
    """Of the install, or of its letter."""
    server: str = ""
    site_type: str = ""
    domain: str = ""
    """Part of it is enough."""
    customer: str = ""
    """Part of a name or an e-mail address."""
    since: datetime | None = None
    """Those that ended, or that are staged, since then."""


def listing(
    connection: Connection, wanted: Wanted, limit: int, *, after: str = "", newest_first: bool = False
) -> list[Install]:
    """Those that are due first at the head (or last, `newest_first`); those after the install of the id
    `after`, if given."""
    place = (installs.c.due_at, installs.c.install_id)
    order = [column.desc() for column in place] if newest_first else place
    query = INSTALLS.select().order_by(*order).where(*_conditions(wanted))
    if after:
        query = query.where(beyond(place, seen(connection, place, after, "install"), backwards=newest_first))
    found = (install for row in connection.execute(query) for install in INSTALLS.read([row]))
    return list(islice(_of_customer(found, wanted.customer), limit))


def named(connection: Connection, name: str) -> Sequence[Install]:
    """The install of this id; else the latest of the order of this id, or of each order of this domain or e-mail
    address."""
    for about in (installs.c.install_id == name, installs.c.order_id == name, installs.c.domain == name.lower()):
        if found := _latest(connection, about):
            return found
    of_customer = _latest(connection, mentions(installs.c.staged, name)) if "@" in name else ()
    return [one for one in of_customer if one.staged.customer.email.lower() == name.lower()]


def _latest(connection: Connection, about: Any) -> Sequence[Install]:
    newest = select(installs.c.order_id, func.max(installs.c.generation)).where(about).group_by(installs.c.order_id)
    query = INSTALLS.select().where(about, tuple_(installs.c.order_id, installs.c.generation).in_(newest))
    return INSTALLS.read(connection.execute(query.order_by(installs.c.staged_at)))


def of_order(connection: Connection, order_id: str) -> list[Install]:
    """All generations of an order, the first first."""
    query = INSTALLS.select().where(installs.c.order_id == order_id).order_by(installs.c.generation)
    return INSTALLS.read(connection.execute(query))


def _conditions(wanted: Wanted) -> Iterator[Any]:
    if wanted.states:
        unmailed = and_(installs.c.state == State.INSTALLED, installs.c.mail_state == MailState.FAILED)
        in_states = installs.c.state.in_(wanted.states)
        yield or_(in_states, unmailed) if wanted.failed_letters else in_states
    if wanted.order_id:
        yield installs.c.order_id == wanted.order_id
    if wanted.causes:
        yield or_(has_code(installs.c.cause, wanted.causes), has_code(installs.c.mail_cause, wanted.causes))
    if wanted.server:
        yield installs.c.server == wanted.server
    if wanted.site_type:
        yield installs.c.site_type == wanted.site_type
    if wanted.domain:
        yield installs.c.domain.icontains(wanted.domain, autoescape=True)
    if wanted.customer:
        yield mentions(installs.c.staged, wanted.customer)
    if wanted.since:
        yield func.coalesce(installs.c.finished_at, installs.c.staged_at) >= wanted.since


def _of_customer(found: Iterator[Install], word: str) -> Iterator[Install]:
    """Those whose customer's name or address has the word; the query looked at all that was staged."""
    return (one for one in found if is_about(one.staged.customer, word))
