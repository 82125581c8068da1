"""Write many rows with one statement, compiled once. Core spends more on each row's parameters than a database on the
row: here, values are converted column by column. SQLite's driver gets tuples; PostgreSQL gets new rows by COPY, which
is neither planned nor taken apart like a document, and anything else as one JSON document."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    LargeBinary,
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
from sqlalchemy.types import TypeEngine

_KINDS: dict[str, Any] = {"postgresql": postgresql, "sqlite": sqlite}
_ESCAPED = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
"""What stands in COPY's text for characters that end a field or a row."""
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")

Row = Sequence[Any]
"""The values of the columns that are named with it."""


def add(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Iterable[Row], *, unless_there: bool = False
) -> None:
    """Insert rows, in their order, of columns that are named in the table's. Raises IntegrityError if a row is there
    already, but `unless_there` leaves such rows out."""
    _run(connection, _addition(table, names, connection.dialect, unless_there), table, names, rows)


def change(connection: Connection, table: Table, names: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Update rows, which the last of the columns identifies."""
    _run(connection, _change(table, names, connection.dialect), table, names, rows)


def is_copy(statement: str) -> bool:
    """Whether a statement takes the parameter `rows` as COPY's data, which its driver sends in another way."""
    return statement.startswith("COPY ")


def _run(connection: Connection, statement: str, table: Table, names: tuple[str, ...], rows: Iterable[Row]) -> None:
    columns = zip(_processors(table, names, connection.dialect), zip(*rows, strict=True), strict=True)
    converted = [list(map(process, values)) if process else values for process, values in columns]
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(statement, list(zip(*converted, strict=True)))
    else:
        written = _lines(converted) if is_copy(statement) else _document(names, converted)
        connection.exec_driver_sql(statement, {"rows": written})


@lru_cache
def _addition(table: Table, names: tuple[str, ...], dialect: Dialect, unless_there: bool) -> str:
    statement = _KINDS[dialect.name].insert(table)
    if unless_there:
        statement = statement.on_conflict_do_nothing()
    if dialect.name == "sqlite":
        return str(statement.compile(dialect=dialect, column_keys=names))
    if unless_there:
        return str(statement.from_select(names, select(*_documents(table, names))).compile(dialect=dialect))
    quote = dialect.identifier_preparer.quote
    return f"COPY {quote(table.name)} ({', '.join(map(quote, names))}) FROM STDIN"


@lru_cache
def _change(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    is_sqlite = dialect.name == "sqlite"
    values = [bindparam(f"_{name}") for name in names] if is_sqlite else _documents(table, names)
    *pairs, (key, value) = zip((table.c[name] for name in names), values, strict=True)
    return str(update(table).ordered_values(*pairs).where(key == value).compile(dialect=dialect))


def _documents(table: Table, names: tuple[str, ...]) -> list[ColumnElement[Any]]:
    """Return the columns of a table that PostgreSQL makes of the parameter `rows`."""
    types = {name: table.c[name].type for name in names}
    # A column's own JSON travels as text: PostgreSQL refuses some escapes in a document that it takes apart.
    read = (column(name, Text if type(it) is JSON else it) for name, it in types.items())
    rows = func.json_to_recordset(bindparam("rows", type_=JSON)).table_valued(*read)
    new = rows.render_derived("new", with_types=True).c
    return [cast(new[name], it) if type(it) is JSON else new[name] for name, it in types.items()]


@lru_cache
def _processors(table: Table, names: tuple[str, ...], dialect: Dialect) -> list[Any]:
    return [_processor(table.c[name].type, dialect) for name in names]


def _processor(type: TypeEngine[Any], dialect: Dialect) -> Any:
    if isinstance(type, LargeBinary) and dialect.name == "postgresql":
        return _hexadecimal
    return type.bind_processor(dialect)


def _hexadecimal(binary: bytes) -> str:
    return f"\\x{binary.hex()}"


def _document(names: tuple[str, ...], columns: Iterable[Row]) -> str:
    """Return rows as a JSON document."""
    document = orjson.dumps([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]).decode()
    if "\\u0000" in document and _NUL.search(document):
        raise _has_nul()
    return document


def _lines(columns: Iterable[Row]) -> str:
    """Return rows as COPY reads them."""
    return "\n".join(map("\t".join, zip(*map(_fields, columns), strict=True)))


def _fields(values: Row) -> list[str]:
    """Return a column's values as COPY reads them."""
    text = "\0".join(["" if value is None else str(value) for value in values])
    if text.count("\0") >= len(values):
        raise _has_nul()
    for character, escaped in _ESCAPED.items():
        text = text.replace(character, escaped)
    fields = text.split("\0")
    return [r"\N" if value is None else field for value, field in zip(values, fields, strict=True)]


def _has_nul() -> ValueError:
    return ValueError("PostgreSQL stores no NUL in text")  # its own error would quote what is around it
