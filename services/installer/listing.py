"""Find installs for people, by what they know about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, tuple_

from foundation.store import search
from foundation.store.search import comes_after, has_cause, mentions, position_of
from services.installer.installs import INSTALLS, Install, installs
from services.installer.states import MailState, State


@dataclass(frozen=True)
class Wanted(search.Wanted):
    """Which installs; `causes` are theirs or their letters', `since` is about when they ended, or were staged."""

    failed_letters: bool = False
    """Besides those in `states`, installed ones whose letter has failed."""


def listing(
    connection: Connection, wanted: Wanted, limit: int, *, after: str = "", newest_first: bool = False
) -> list[Install]:
    """Return up to `limit` installs, those due first at the head (or last, `newest_first`); those behind the install
    `after`, if given. Raises NotFound."""
    place = (installs.c.due_at, installs.c.install_id)
    order = [column.desc() for column in place] if newest_first else place
    query = INSTALLS.select().order_by(*order).where(*_conditions(wanted))
    if after:
        query = query.where(
            comes_after(place, position_of(connection, place, after, "install"), backwards=newest_first)
        )
    found = (install for row in connection.execute(query) for install in INSTALLS.read([row]))
    return list(islice(wanted.of_customer(found, lambda install: install.staged.customer), limit))


def named(connection: Connection, name: str) -> Sequence[Install]:
    """Return the install with this id; else the latest of the order with this id, or of each order with this domain or
    email address."""
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
    yield from wanted.conditions(installs, "staged")
    if wanted.states:
        unmailed = and_(installs.c.state == State.INSTALLED, installs.c.mail_state == MailState.FAILED)
        in_states = installs.c.state.in_(wanted.states)
        yield or_(in_states, unmailed) if wanted.failed_letters else in_states
    if wanted.causes:
        yield or_(has_cause(installs.c.cause, wanted.causes), has_cause(installs.c.mail_cause, wanted.causes))
    if wanted.since:
        yield func.coalesce(installs.c.finished_at, installs.c.staged_at) >= wanted.since
