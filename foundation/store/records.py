"""Rows of a table as frozen records: loaded and locked at once, changed in memory, written back at once.

    orders = Records(table, Order, key="order_id")
    loaded = orders.load(connection, order_ids)     # one SELECT ... FOR UPDATE, in key order
    loaded.save(loaded.get("order-1").cancelled())  # visible at once to later calls of `get` and `of`
    loaded.flush(connection)                        # one INSERT, one UPDATE for each set of changed columns

Handlers decide on loaded records, without SQL, so a handler's test needs no database: `Loaded(orders)` is an empty
table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import itemgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, select, text

from foundation.store import bulk
from foundation.store.frozen import made, replace
from foundation.store.in_list import in_list
from foundation.store.lease import LeasedRow

R = TypeVar("R")
L = TypeVar("L", bound=LeasedRow)

_LOCK = text(
    "SELECT pg_advisory_xact_lock(number) FROM"
    " (SELECT DISTINCT hashtextextended(name, 0) AS number"
    " FROM unnest(CAST(:names AS text[])) AS name ORDER BY 1) AS it"
)


def lock(connection: Connection, names: Iterable[str]) -> None:
    """Lock names until the transaction ends, including names of things that have no row yet; wait for other holders.

    On SQLite it does nothing: a writing transaction has the whole database to itself anyway.
    """
    if connection.dialect.name == "postgresql" and (wanted := list(names)):
        connection.execute(_LOCK, {"names": wanted})


class Records(Generic[R]):
    """One table, whose columns are the fields of a frozen dataclass.

    `key` is the primary key; `owner` is the column with the aggregate that a row belongs to (by default, the key).
    """

    def __init__(self, table: Table, record: type[R], *, key: str, owner: str | None = None) -> None:
        self.table = table
        self.key = key
        self.owner = owner or key
        self._record = record
        names = {field.name for field in fields(record)}  # type: ignore[arg-type]  # a dataclass
        self.names = tuple(sorted(names, key=list(table.c.keys()).index))
        self._columns = [table.c[name] for name in self.names]
        self.values = itemgetter(*self.names)
        self.is_numbered = "sequence" in names
        self._loads: dict[str, Select[Any]] = {}

    def select(self) -> Select[Any]:
        """Return a SELECT of all rows, in the form that `read` takes."""
        return select(*self._columns)

    def read(self, rows: Iterable[Sequence[Any]]) -> list[R]:
        return [made(self._record, zip(self.names, row, strict=True)) for row in rows]

    def load(self, connection: Connection, owners: Iterable[str]) -> "Loaded[R]":
        """Load and lock all rows of these owners; nobody else can change them before the transaction ends."""
        wanted = sorted(set(owners))
        if not wanted:
            return Loaded(self)
        rows = connection.execute(self._locked(connection.dialect.name), {"wanted": wanted})
        return Loaded(self, self.read(rows.all()))

    def _locked(self, dialect: str) -> Select[Any]:
        statement = self._loads.get(dialect)
        if statement is None:
            theirs = self.select().where(in_list(self.table.c[self.owner], dialect))
            key = self.table.c[self.key]
            # Whatever a server's locale: `lease.renew` locks in this order, too.
            order = key.collate("C") if dialect == "postgresql" else key
            statement = self._loads[dialect] = theirs.order_by(order).with_for_update()
        return statement

    def differing(self, row: R, other: R) -> tuple[str, ...]:
        """Return the names of the columns in which two rows differ. Identical objects are not compared."""
        before = vars(other)
        return tuple([name for name, value in vars(row).items() if value is not (old := before[name]) and value != old])

    def get(self, connection: Connection, key: str) -> R | None:
        """Read one row without locking it; None if there is none."""
        return next(iter(self.read(connection.execute(self.select().where(self.table.c[self.key] == key)))), None)

    def page(self, connection: Connection, after: str | None, limit: int) -> list[R]:
        """Read up to `limit` rows in key order, from the first one behind `after`, without locking them."""
        key = self.table.c[self.key]
        rest = self.select().where(key > after) if after is not None else self.select()
        return self.read(connection.execute(rest.order_by(key).limit(limit)))

    def key_of(self, row: R) -> str:
        return str(getattr(row, self.key))


class Loaded(Generic[R]):
    """The rows of some owners within one transaction. Not thread-safe."""

    def __init__(self, records: Records[R], rows: Iterable[R] = ()) -> None:
        self._records = records
        self._stored = {getattr(row, records.key): row for row in rows}
        self._now = dict(self._stored)
        self._of: dict[str, list[str]] = {}
        for key, row in self._now.items():
            self._of.setdefault(getattr(row, records.owner), []).append(key)

    def get(self, key: str) -> R | None:
        return self._now.get(key)

    def of(self, owner: str) -> list[R]:
        """Return all rows of one owner."""
        return [self._now[key] for key in self._of.get(owner, ())]

    def all(self) -> list[R]:
        return list(self._now.values())

    def save(self, row: R) -> R:
        """Replace or add a row: `get` and `of` return it from now on, and `flush` writes it. Returns the row, with its
        next `sequence` if it is a leased one."""
        key = getattr(row, self._records.key)
        known: Any = self._now.get(key)
        if known is None:
            self._of.setdefault(getattr(row, self._records.owner), []).append(key)
        if self._records.is_numbered and row is not known and row is not self._stored.get(key):
            number = known.sequence + 1 if known else 1
            row = replace(row, sequence=number)  # type: ignore[type-var]  # a leased row
        self._now[key] = row
        return row

    def sequence(self, key: str | None) -> str | None:
        """Return the version of a row as events state it; None if there is no such row."""
        row: Any = self._now.get(key) if key else None
        return row.version if row else None

    def held(self: "Loaded[L]", claimed: L) -> L | None:
        """Return the current version of a claimed row; None if its worker has lost the lease."""
        current = self.get(getattr(claimed, self._records.key))
        mine = current is not None and current.lease_owner is not None and current.fence == claimed.fence
        return current if mine else None

    def flush(self, connection: Connection) -> None:
        """Write all saved rows, each once. Raises IntegrityError if another transaction has inserted one of the new
        rows meanwhile."""
        records, new, changed = self._records, list[R](), dict[tuple[str, ...], list[R]]()
        for key, row in sorted(self._now.items()):
            stored = self._stored.get(key)
            if stored is None:
                new.append(row)
            elif stored is not row and (names := records.differing(row, stored)):
                changed.setdefault((*names, records.key), []).append(row)
        if new:
            bulk.add(connection, records.table, records.names, map(records.values, map(vars, new)))
        for names, rows in changed.items():
            bulk.change(connection, records.table, names, map(itemgetter(*names), map(vars, rows)))
