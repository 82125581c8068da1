"""Tables of causes: what can go wrong, by a stable code, and what a person can do about it.

Each package that can fail has one table. A remedy says what to fix; whether the work is retried follows from its
state, and whoever shows the state says so. docs/causes.md is generated from these tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from foundation.errors import Failed
from schemas.values import Cause, CauseKind


@dataclass(frozen=True)
class Meaning:
    """What a code stands for, on every occasion."""

    kind: CauseKind
    remedy: str
    blames_server: bool = False
    """Whether the cause lies in the hosting server as a whole, so that others would fail there as well."""


class Causes(Mapping[str, Meaning]):
    """One table, by code: the last argument holds its own codes, the ones before are other tables that it includes."""

    def __init__(self, *tables: Mapping[str, Meaning]) -> None:
        self._meanings = {code: meaning for table in tables for code, meaning in table.items()}
        self.own = frozenset(tables[-1])
        """Codes that do not come from another table."""

    def __getitem__(self, code: str) -> Meaning:
        return self._meanings[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._meanings)

    def __len__(self) -> int:
        return len(self._meanings)

    def cause(self, code: str, detail: str, remedy: str = "") -> Cause:
        """Create the cause for a code.

        `detail` says what happened this time, without secrets; it is truncated to 1 000 characters. `remedy` replaces
        the table's remedy if there is a more specific one. Raises KeyError if the code is not in the table.
        """
        meaning = self[code]
        return Failed.because(code, meaning.kind, detail, remedy or meaning.remedy).cause

    def failed(self, code: str, detail: str) -> Failed:
        """Create the error for a code; see `cause`."""
        return Failed(self.cause(code, detail))
