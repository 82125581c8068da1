"""Moving a service's rows from one database to another, of whatever kinds."""

from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection, Table, func, insert, inspect, select, text

from foundation.errors import Refused
from foundation.store.engine import Store
from foundation.store.types import metadata

_BATCH = 1000


def tables_of(store: Store) -> list[Table]:
    """Those of our tables that the database has, as far as their modules are imported."""
    with store.reading() as connection:
        there = set(inspect(connection).get_table_names())
    return [table for table in metadata.sorted_tables if table.name in there]


def copy(source: Store, target: Store, told: Callable[[str, int], None]) -> dict[str, int]:
    """Copy every row of `source` into `target`, which has the same tables and is empty: all of them, or
    none. Nobody can write to `source` meanwhile. Returns how many rows each table had; `told` hears the
    table and its count while that grows. Raises Refused if `target` has rows."""
    counts: dict[str, int] = {}
    tables = tables_of(target)
    with source.transaction() as old, target.transaction() as new:
        _keep_writers_out(old, tables)
        for table in tables:
            _require_empty(new, table)
            counts[table.name] = 0
            for rows in _batches(old, table):
                new.execute(insert(table), rows)
                counts[table.name] += len(rows)
                told(table.name, counts[table.name])
    return counts


def _keep_writers_out(connection: Connection, tables: Sequence[Table]) -> None:
    """Until the transaction ends. SQLite's has done so when it began."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {', '.join(table.name for table in tables)} IN SHARE MODE"))


def _require_empty(connection: Connection, table: Table) -> None:
    if connection.execute(select(func.count()).select_from(table)).scalar_one():
        raise Refused(f"the table {table.name} of the database to copy to has rows: name an empty database")


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, object]]]:
    found = connection.execution_options(yield_per=_BATCH).execute(select(table))
    for rows in found.mappings().partitions(_BATCH):
        yield [dict(row) for row in rows]
