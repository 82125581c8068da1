"""How much work runs on each server that is limited, over all replicas."""

from collections import Counter
from collections.abc import Collection, Mapping

from sqlalchemy import Column, ColumnElement, Connection, func, select

from foundation.store.records import lock


class Running:
    """The rows of a table that run on servers: locked and counted once per transaction, if a handler asks; and what its
    handlers have changed since."""

    def __init__(self, connection: Connection | None, server: Column[str], *runs: ColumnElement[bool]) -> None:
        """`server` is the column that names the server; `runs` says which rows run. Without a connection, none do at
        first."""
        self._connection = connection
        self._server = server
        self._runs = runs
        self._counted: Mapping[str, int] | None = None
        self._since = Counter[str]()

    def on(self, server: str, limited: Collection[str]) -> int:
        """Return how many run on one of the `limited` servers; no other transaction begins any there meanwhile."""
        if self._counted is None:
            self._counted = self.written(limited, alone=True)
        return self._counted.get(server, 0) + self._since[server]

    def add(self, server: str, number: int) -> None:
        """Count `number` more."""
        self._since[server] += number

    def written(self, servers: Collection[str], *, alone: bool = False) -> Mapping[str, int]:
        """Return how many run on each of these servers by what is in the database. With `alone`, no other transaction
        begins any until this one has ended."""
        if self._connection is None:
            return {}
        if alone:
            lock(self._connection, (f"server {server}" for server in servers))
        query = select(self._server, func.count().label("number")).where(*self._runs, self._server.in_(servers))
        return {row.server: row.number for row in self._connection.execute(query.group_by(self._server))}
