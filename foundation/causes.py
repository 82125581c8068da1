"""Tables of causes: what can go wrong, by a stable code, and what a person does about it.

Each room that fails has one table. A remedy says what to mend; whether the work is tried again follows from its
state, and is said by whoever shows that. docs/causes.md is made from these tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from foundation.errors import Failed
from schemas.values import Cause, CauseKind


@dataclass(frozen=True)
class Meaning:
    """What a cause's code stands for, whatever the occasion."""

    kind: CauseKind
    remedy: str


class Causes(Mapping[str, Meaning]):
    """One table, by code. The last argument is its own part; those before are other tables that it includes."""

    def __init__(self, *tables: Mapping[str, Meaning]) -> None:
        self._meanings = {code: meaning for table in tables for code, meaning in table.items()}
        self.own = frozenset(tables[-1])
        """Codes that no other table has brought."""

    def __getitem__(self, code: str) -> Meaning:
        return self._meanings[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._meanings)

    def __len__(self) -> int:
        return len(self._meanings)

    def cause(self, code: str, detail: str, remedy: str = "") -> Cause:
        """The cause for a code; `detail` says what happened this time, without secrets, and is cut to 1 000
        characters, `remedy` what to do this time, if that is more particular than the table. Raises KeyError for a
        code that is not in the table."""
        meaning = self[code]
        return Failed.because(code, meaning.kind, detail, remedy or meaning.remedy).cause

    def failed(self, code: str, detail: str) -> Failed:
        """The error for a code, likewise."""
        return Failed(self.cause(code, detail))
