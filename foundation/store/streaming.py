"""Read a whole table, however large, a thousand rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select

from foundation.store.in_list import in_list

_AT_A_TIME = 1000


def in_order(
    connection: Connection, query: Select[Any], key: Column[Any], only: Sequence[str] | None = None
) -> Iterator[Any]:
    """Yield a query's rows in the order of a column; with `only`, the rows of these keys alone. PostgreSQL keeps the
    others on the server meanwhile, so it needs a transaction that is open until the last one is read."""
    query = query.order_by(key)
    if only is None:
        return iter(connection.execute(query, execution_options={"yield_per": _AT_A_TIME}))
    return iter(connection.execute(query.where(in_list(key, connection.dialect.name)), {"wanted": list(only)}))
