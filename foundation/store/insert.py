"""Inserting what may be there already: the one statement that databases spell differently."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert the row unless one with the same key (any unique one) exists; whether it was new."""
    return connection.execute(_insert(table, connection.dialect.name), values).rowcount == 1


@lru_cache
def _insert(table: Table, dialect: str) -> Insert:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
