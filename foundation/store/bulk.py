"""Write many rows with one statement, compiled once. Core spends more on each row's parameters than a database on the
row: here, values are converted column by column. SQLite's driver gets tuples, PostgreSQL an array of each column."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

_KINDS: dict[str, Any] = {"postgresql": postgresql, "sqlite": sqlite}
_PARAMETER = re.compile(r"%\((\w+)\)s")

Row = Sequence[Any]
"""The values of the columns that are named with it."""


def add(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Iterable[Row], *, unless_there: bool = False
) -> None:
    """Insert rows, in their order, of columns that are named in the table's. Raises IntegrityError if a row is there
    already, but `unless_there` leaves such rows out."""
    _run(connection, _addition(table, names, connection.dialect, unless_there), table, names, rows)


def put(connection: Connection, table: Table, row: Mapping[str, Any], *, dated: str) -> None:
    """Insert a row, or replace the one with its primary key, unless that is newer by its column `dated`."""
    statement = _KINDS[connection.dialect.name].insert(table).values(**row)
    keys = [column.name for column in table.primary_key]
    fresh = {name: statement.excluded[name] for name in row if name not in keys}
    is_newer = table.c[dated] <= statement.excluded[dated]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh, where=is_newer))


def increase(connection: Connection, table: Table, key: Mapping[str, Any], **by: int) -> None:
    """Add to the numbers in the row with this primary key; insert it if there is none."""
    statement = _KINDS[connection.dialect.name].insert(table).values(**key, **by)
    sums = {name: table.c[name] + statement.excluded[name] for name in by}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=sums))


def change(connection: Connection, table: Table, names: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Update rows, which the last of the columns identifies."""
    _run(connection, _change(table, names, connection.dialect), table, names, rows)


def _run(connection: Connection, statement: str, table: Table, names: tuple[str, ...], rows: Iterable[Row]) -> None:
    columns = zip(_processors(table, names, connection.dialect), zip(*rows, strict=True), strict=True)
    converted = (map(process, values) if process else values for process, values in columns)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(statement, list(zip(*converted, strict=True)))
    else:
        connection.exec_driver_sql(statement, dict(zip(names, map(list, converted), strict=True)))


@lru_cache
def _addition(table: Table, names: tuple[str, ...], dialect: Dialect, unless_there: bool) -> str:
    statement = _KINDS[dialect.name].insert(table)
    if unless_there:
        statement = statement.on_conflict_do_nothing()
    if dialect.name == "sqlite":
        return str(statement.compile(dialect=dialect, column_keys=names))
    return _binary(statement.from_select(names, select(*_unnested(table, names, dialect))), dialect)


@lru_cache
def _change(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    is_sqlite = dialect.name == "sqlite"
    values = [bindparam(f"_{name}") for name in names] if is_sqlite else _unnested(table, names, dialect)
    *pairs, (key, value) = zip((table.c[name] for name in names), values, strict=True)
    statement = update(table).ordered_values(*pairs).where(key == value)
    return str(statement.compile(dialect=dialect)) if is_sqlite else _binary(statement, dialect)


def _unnested(table: Table, names: tuple[str, ...], dialect: Dialect) -> list[ColumnElement[Any]]:
    """Return the columns of a table that PostgreSQL makes of an array for each."""
    types = {name: table.c[name].type.dialect_impl(dialect) for name in names}
    arrays = [bindparam(name, type_=ARRAY(_as_sent(it))) for name, it in types.items()]
    new = func.unnest(*arrays).table_valued(*names).render_derived("new").c
    return [cast(new[name], it) if isinstance(it, JSON) else new[name] for name, it in types.items()]


def _as_sent(it: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that values are sent as. Text without its length: a cast would cut what is too long."""
    plain: Any = it.impl if isinstance(it, TypeDecorator) else it
    return Text(collation=getattr(plain, "collation", None)) if isinstance(plain, JSON | String) else plain


def _binary(statement: Any, dialect: Dialect) -> str:
    """Return a statement that has its parameters sent as they are stored: PostgreSQL reads those in half the time."""
    return _PARAMETER.sub(r"%(\1)b", str(statement.compile(dialect=dialect)))


@lru_cache
def _processors(table: Table, names: tuple[str, ...], dialect: Dialect) -> list[Any]:
    types = (table.c[name].type for name in names)
    return [None if isinstance(it, LargeBinary) else it.bind_processor(dialect) for it in types]
