"""Keep track of the leases that this process holds, so that it can renew them while it works."""

import threading
from math import inf
from time import monotonic
from typing import Any

from foundation.handling.unit_of_work import Database
from foundation.store import lease
from foundation.store.lease import Terms
from foundation.store.records import Records


class Leases:
    """The claimed rows of one table. Thread-safe.

    Work that takes longer than `longest` seconds counts as hung: its lease is not renewed any more, so another worker
    can take over the row.
    """

    def __init__(self, records: Records[Any], terms: Terms, longest: float) -> None:
        self._records = records
        self._terms = terms
        self._longest = longest
        self._held: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def hold(self, row: Any, *, waiting: bool = False) -> None:
        """Add a lease. With `waiting` (for a thread) it is held without limit, until `hold` is called again when the
        work begins."""
        with self._lock:
            self._held[self._key(row)] = row.fence, inf if waiting else monotonic()

    def let_go(self, row: Any) -> None:
        """Remove this lease, but not a later one on the same row."""
        key = self._key(row)
        with self._lock:
            if key in self._held and self._held[key][0] == row.fence:
                del self._held[key]

    def held(self) -> dict[str, int]:
        """Return the leases to renew, as key -> fencing token."""
        since = monotonic() - self._longest
        with self._lock:
            return {key: fence for key, (fence, begun) in self._held.items() if begun >= since}

    def renew(self, database: Database[Any]) -> None:
        """Extend the held leases in the table. Raises StoreUnreachable."""
        if held := self.held():
            with database.store.transaction() as connection:
                lease.renew(connection, self._records.table, self._records.key, held, self._terms, database.now())

    def _key(self, row: Any) -> str:
        key: str = getattr(row, self._records.key)
        return key
