"""Copy a service's rows from one database to another, whatever their kinds."""

from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection, Table, func, insert, inspect, select, text

from foundation.errors import Refused
from foundation.store.engine import Store
from foundation.store.types import metadata

_BATCH = 1000


def tables_of(store: Store) -> list[Table]:
    """Return those of our tables that the database has. Only tables whose modules are imported are known."""
    with store.reading() as connection:
        existing = set(inspect(connection).get_table_names())
    return [table for table in metadata.sorted_tables if table.name in existing]


def copy(source: Store, target: Store, progress: Callable[[str, int], None]) -> dict[str, int]:
    """Copy all rows of `source` into `target`, or none: `target` must have the same tables, without rows.

    Locks out writers to `source` meanwhile. Calls `progress` with a table's name and how many of its rows are copied so
    far. Returns the number of rows by table. Raises Refused if `target` has rows.
    """
    counts: dict[str, int] = {}
    tables = tables_of(target)
    with source.transaction() as old, target.transaction() as new:
        _lock_out_writers(old, tables)
        for table in tables:
            _require_empty(new, table)
            counts[table.name] = 0
            for rows in _batches(old, table):
                new.execute(insert(table), rows)
                counts[table.name] += len(rows)
                progress(table.name, counts[table.name])
    return counts


def _lock_out_writers(connection: Connection, tables: Sequence[Table]) -> None:
    """Lock until the transaction ends. On SQLite, beginning the transaction has done that."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {', '.join(table.name for table in tables)} IN SHARE MODE"))


def _require_empty(connection: Connection, table: Table) -> None:
    if connection.execute(select(func.count()).select_from(table)).scalar_one():
        raise Refused(f"the target database is not empty (table {table.name} has rows): use an empty database")


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, object]]]:
    found = connection.execution_options(yield_per=_BATCH).execute(select(table))
    for rows in found.mappings().partitions(_BATCH):
        yield [dict(row) for row in rows]
