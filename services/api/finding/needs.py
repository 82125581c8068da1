"""What needs somebody: failed accounts, installs and emails, grouped by cause."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, exists, func, select

from foundation.store.records import Records
from schemas.values import Cause
from services.api.projection.views import LETTERS, RECORDS, letter_views

FAILED = "failed"
_SHOWN = 5
"""How many of a group are named with it."""


@dataclass(frozen=True)
class Need:
    """Some that failed in the same way."""

    of: str
    """`order`, `install` or `letter`: an order's failure is that of its account."""
    code: str | None
    """The cause's code."""
    server: str | None
    """Where; letters know no server."""
    count: int
    since: datetime
    """When the first of them failed."""
    cause: Cause | None
    """The cause of the one that failed first."""
    first: Sequence[Any]
    """The views of those that failed first."""


def needs(connection: Connection) -> list[Need]:
    """Return the groups, the oldest first."""
    found = [need for of, records in RECORDS.items() for need in _grouped(connection, of, records)]
    return sorted(found, key=lambda need: need.since)


def _grouped(connection: Connection, of: str, records: Records[Any]) -> list[Need]:
    table = records.table
    by = [table.c[name] for name in ("cause_code", "server") if name in table.c]
    failed = list(_failed(records))
    counted = select(func.count(), func.min(table.c.updated_at), *by).where(*failed).group_by(*by)
    groups = []
    for count, since, *of_group in connection.execute(counted).all():
        same = [
            column.is_(None) if value is None else column == value for column, value in zip(by, of_group, strict=True)
        ]
        oldest = records.select().where(*failed, *same).order_by(table.c.updated_at).limit(_SHOWN)
        first = records.read(connection.execute(oldest))
        code, server = (*of_group, None)[:2]
        groups.append(Need(of, code, server, count, since, first[0].cause if first else None, first))
    return groups


def _failed(records: Records[Any]) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that something has failed. What is in the letter of an earlier install opens nothing."""
    yield records.table.c.state == FAILED
    if records is LETTERS:
        newer = letter_views.alias()
        theirs = newer.c.order_id == letter_views.c.order_id
        yield ~exists().where(theirs, newer.c.generation > letter_views.c.generation)


def members(connection: Connection, of: str, code: str, server: str, limit: int) -> list[str]:
    """Return the ids of a group, the oldest first."""
    records = RECORDS[of]
    table = records.table
    same = [*_failed(records), table.c.cause_code == (code or None)]
    if "server" in table.c:
        same.append(table.c.server == (server or None))
    ids = select(table.c[records.key]).where(*same).order_by(table.c.updated_at).limit(limit)
    return list(connection.scalars(ids))


def causes(connection: Connection, table: Table) -> list[str]:
    """Return the codes of the causes that there are."""
    code = table.c.cause_code
    return list(connection.scalars(select(code).where(code > "").distinct().order_by(code)))
