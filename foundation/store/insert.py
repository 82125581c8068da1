"""Inserting what may be there already: the one statement that databases spell differently."""

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert the row unless one with the same key (any unique one) exists; whether it was new."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(values).on_conflict_do_nothing()).rowcount == 1
