"""Inserting what may be there already: the one statement that databases spell differently."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert the row unless one with the same key (any unique one) exists; whether it was new."""
    return connection.execute(_insert(table, connection.dialect.name), values).rowcount == 1


def insert_missing(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those of the rows whose key (any unique one) is not there."""
    if rows:
        connection.execute(_insert(table, connection.dialect.name), rows)


@lru_cache
def _insert(table: Table, dialect: str) -> Insert:
    spelled = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    # Without the option psycopg's count is gone by the time it is asked for: nothing would ever be new.
    return spelled.on_conflict_do_nothing().execution_options(preserve_rowcount=True)
