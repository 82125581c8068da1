"""Insert rows that may exist already: the one statement that databases spell differently."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_missing(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows, except those that clash with an existing one on any unique key."""
    if rows:
        connection.execute(_insert(table, connection.dialect.name), rows)


@lru_cache
def _insert(table: Table, dialect: str) -> Insert:
    spelled = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return spelled.on_conflict_do_nothing()
