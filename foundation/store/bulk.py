"""Write many rows with one statement, compiled once. Core spends more on each row's parameters than a database on the
row: here, values are converted column by column. SQLite's driver gets tuples, PostgreSQL one JSON document."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

_KINDS: dict[str, Any] = {"postgresql": postgresql, "sqlite": sqlite}
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")

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


def _run(connection: Connection, statement: Any, table: Table, names: tuple[str, ...], rows: Iterable[Row]) -> None:
    columns = zip(_processors(table, names, connection.dialect), zip(*rows, strict=True), strict=True)
    converted = zip(*(map(process, values) if process else values for process, values in columns), strict=True)
    if isinstance(statement, str):
        connection.exec_driver_sql(statement, list(converted))
    else:
        fields = [dict(zip(names, row, strict=True)) for row in converted]
        document = orjson.dumps(fields, default=_hexadecimal).decode()
        if "\\u0000" in document and _NUL.search(document):
            raise ValueError("PostgreSQL stores no NUL in text")  # its own error would quote what is around it
        connection.execute(statement, {"rows": document})


@lru_cache
def _addition(table: Table, names: tuple[str, ...], dialect: Dialect, unless_there: bool) -> Any:
    statement = _KINDS[dialect.name].insert(table)
    if unless_there:
        statement = statement.on_conflict_do_nothing()
    if dialect.name == "sqlite":
        return str(statement.compile(dialect=dialect, column_keys=names))
    return statement.from_select(names, select(*_documents(table, names)))


@lru_cache
def _change(table: Table, names: tuple[str, ...], dialect: Dialect) -> Any:
    is_sqlite = dialect.name == "sqlite"
    values = [bindparam(f"_{name}") for name in names] if is_sqlite else _documents(table, names)
    *pairs, (key, value) = zip((table.c[name] for name in names), values, strict=True)
    statement = update(table).ordered_values(*pairs).where(key == value)
    return str(statement.compile(dialect=dialect)) if is_sqlite else statement


def _documents(table: Table, names: tuple[str, ...]) -> list[ColumnElement[Any]]:
    """Return the columns of a table that PostgreSQL makes of the parameter `rows`."""
    types = {name: table.c[name].type for name in names}
    # A column's own JSON travels as text: PostgreSQL refuses some escapes in a document that it takes apart.
    read = (column(name, Text if type(it) is JSON else it) for name, it in types.items())
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON)).table_valued(*read)
    new = rows.render_derived("new", with_types=True).c
    return [cast(new[name], it) if type(it) is JSON else new[name] for name, it in types.items()]


@lru_cache
def _processors(table: Table, names: tuple[str, ...], dialect: Dialect) -> list[Any]:
    return [table.c[name].type.bind_processor(dialect) for name in names]


def _hexadecimal(binary: Any) -> str:
    return f"\\x{binary.obj.hex()}"
