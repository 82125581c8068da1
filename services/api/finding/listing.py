"""Find orders, installs, letters and lines of the activity log, page by page, by the time of their last change.

Whatever is looked for, few rows are read: those of each wanted state come from one index in the right order, and what
somebody searches for becomes a short list of orders first.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, func, or_, select

from foundation.store.in_list import in_list
from foundation.store.records import Records
from services.api.finding.filters import ActivityFilter, Filter, LetterFilter, SiteFilter
from services.api.finding.paging import LIMIT, Page, Position
from services.api.projection.activity import ENTRIES, Entry
from services.api.projection.views import (
    INSTALLS,
    LETTERS,
    ORDERS,
    InstallView,
    LetterView,
    OrderView,
    letter_views,
    order_views,
)

R = TypeVar("R")

_FEW = 500
"""Up to so many orders are found by their ids: a search ends there, and of a producer with more, any page is full
soon."""
_FOR_COLLEAGUES = "order.noted"
"""The kind of lines that producers do not see."""
_REJECTED = "order.rejected"
_LAST = "\U0010ffff"
"""Follows whatever a text can go on with."""
_SEARCHED = (order_views.c.order_id, order_views.c.domain, order_views.c.username, order_views.c.customer_email)


def orders(connection: Connection, wanted: SiteFilter, after: str = "", limit: int = LIMIT) -> Page[OrderView]:
    """Return a page of orders, behind the cursor `after`. Raises BadCursor."""
    return _page(connection, ORDERS, wanted, ("state", wanted.states), after, limit)


def installs(connection: Connection, wanted: SiteFilter, after: str = "", limit: int = LIMIT) -> Page[InstallView]:
    """Return a page of installs, behind the cursor `after`. Raises BadCursor."""
    return _page(connection, INSTALLS, wanted, ("state", wanted.states), after, limit)


def letters(connection: Connection, wanted: LetterFilter, after: str = "", limit: int = LIMIT) -> Page[LetterView]:
    """Return a page of letters, behind the cursor `after`. Raises BadCursor."""
    return _page(connection, LETTERS, wanted, ("state", wanted.states), after, limit)


def activity(connection: Connection, wanted: ActivityFilter, after: str = "", limit: int = LIMIT) -> Page[Entry]:
    """Return a page of the activity log, behind the cursor `after`. Raises BadCursor."""
    return _page(connection, ENTRIES, wanted, ("kind", wanted.kinds), after, limit)


def news(connection: Connection, after: int, placed_by: str | None, limit: int) -> list[Entry]:
    """Return lines of the activity log in the order in which they were written, behind the line with this number."""
    query = ENTRIES.select().where(ENTRIES.table.c.id > after).order_by(ENTRIES.table.c.id).limit(limit)
    if placed_by is not None:
        query = query.where(_concerns(ENTRIES.table, placed_by), ENTRIES.table.c.kind != _FOR_COLLEAGUES)
    return ENTRIES.read(connection.execute(query))


def _concerns(lines: Table, source: str) -> ColumnElement[bool]:
    """Return the condition that a line is of an order that a producer placed, or of what it has said itself: nothing
    else tells whose an order is that has just been placed, or is rejected."""
    said = lines.alias()
    rejected = select(said.c.id).where(
        said.c.trace_id == lines.c.trace_id, said.c.order_id == lines.c.order_id, said.c.source == source
    )
    return or_(
        _placed_by(lines.c.order_id, source),
        lines.c.source == source,
        and_(lines.c.kind == _REJECTED, rejected.exists()),
    )


def found_orders(connection: Connection, search: str) -> list[str]:
    """Return the ids of up to 500 orders that a text is the beginning of something of; else, a part of it."""
    install = search.rpartition("-g")
    words = {search, search.lower(), install[0] if install[2].isdigit() else search}
    ids = set[str]()
    for column in _SEARCHED:
        begins = or_(*(and_(column >= word, column < word + _LAST) for word in words))
        ids.update(connection.scalars(select(order_views.c.order_id).where(begins).limit(_FEW)))
    if not ids:
        position = func.instr if connection.dialect.name == "sqlite" else func.strpos  # twice as fast as LIKE
        contains = position(order_views.c.searched, func.lower(search)) > 0
        ids.update(connection.scalars(select(order_views.c.order_id).where(contains).limit(_FEW)))
    return sorted(ids)[:_FEW]


def _page(
    connection: Connection,
    records: Records[R],
    wanted: Filter,
    split: tuple[str, Sequence[str] | Any],
    after: str,
    limit: int,
) -> Page[R]:
    """Return a page of those records whose column `split[0]` is one of `split[1]`, and which are `wanted`."""
    columns = records.table.c
    at, key = columns["at" if "at" in columns else "updated_at"], columns[records.key]
    order = (at, key) if wanted.oldest_first else (at.desc(), key.desc())
    query, lists = records.select().order_by(*order).limit(limit + 1), dict[str, list[str]]()
    if after:
        query = query.where(_behind(at, key, Position.of(after, key.type.python_type), wanted.oldest_first))
    query = query.where(*_conditions(connection, columns, at, wanted, lists))
    column, values = columns[split[0]], sorted(set(split[1]))
    queries = [query.where(column == value) for value in values] or [query]
    rows = [row for one in queries for row in records.read(connection.execute(one, lists))]
    if len(queries) > 1:
        rows.sort(key=lambda row: (getattr(row, at.name), getattr(row, key.name)), reverse=not wanted.oldest_first)
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(shown, Position(getattr(shown[-1], at.name), getattr(shown[-1], key.name)).cursor() if more else None)


def _behind(at: Column[Any], key: Column[Any], last: Position, oldest_first: bool) -> ColumnElement[bool]:
    """Return the condition that a row follows a position; its first half is a range of an index."""
    if oldest_first:
        return and_(at >= last.at, or_(at > last.at, key > last.id))
    return and_(at <= last.at, or_(at < last.at, key < last.id))


def _conditions(
    connection: Connection, columns: Any, at: Column[datetime], wanted: Filter, lists: dict[str, list[str]]
) -> Iterator[ColumnElement[bool]]:
    """Yield what a row must be; long lists become parameters in `lists`."""
    dialect = connection.dialect.name
    equal: Mapping[str, str] = {
        name: getattr(wanted, name, "") for name in ("order_id", "site_type", "server", "actor")
    }
    yield from (columns[name] == value for name, value in equal.items() if value)
    if causes := getattr(wanted, "causes", ()):
        yield columns.cause_code.in_(sorted(causes))
    if about := list(_about(wanted)):
        yield columns.order_id.in_(select(order_views.c.order_id).where(*about))
    if letters := getattr(wanted, "letter_states", ()):
        of_letters = select(letter_views.c.install_id).where(letter_views.c.state.in_(sorted(letters)))
        yield columns.install_id.in_(of_letters)
    if wanted.since:
        yield at >= wanted.since
    if wanted.until:
        yield at < wanted.until
    if wanted.search:
        lists["found"] = found_orders(connection, wanted.search.strip())
        yield in_list(columns.order_id, dialect, "found")
    if wanted.placed_by is not None:
        if "kind" in columns:
            yield columns.kind != _FOR_COLLEAGUES
        theirs = select(order_views.c.order_id).where(order_views.c.placed_by == wanted.placed_by).limit(_FEW + 1)
        ids = connection.scalars(theirs).all()
        if len(ids) <= _FEW:
            lists["theirs"] = list(ids)
            yield in_list(columns.order_id, dialect, "theirs")
        else:
            yield _placed_by(columns.order_id, wanted.placed_by)


def _about(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    """Yield what an order's domain and customer must contain, in any case."""
    table = order_views.c
    if domain := getattr(wanted, "domain", ""):
        yield table.domain.icontains(domain, autoescape=True)
    if customer := getattr(wanted, "customer", ""):
        columns = (table.customer_name, table.customer_email)
        yield or_(*(column.icontains(customer, autoescape=True) for column in columns))


def _placed_by(order_id: Column[Any], source: str) -> ColumnElement[bool]:
    """Return the condition that a producer placed an order, looked up row by row: SQLite would turn EXISTS into a join
    that begins with all of the producer's orders."""
    one = order_views.alias()
    return select(one.c.placed_by).where(one.c.order_id == order_id).scalar_subquery() == source
