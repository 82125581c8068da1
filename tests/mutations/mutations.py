"""The mutations: small patches, each of which takes out the mechanism behind a row of docs/guarantees.md."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.support.guarantees import Test, guarantees


@dataclass(frozen=True)
class Mutation:
    """One replacement in one file, and the test of the row that has to fail then."""

    row: int
    name: str
    file: str
    old: str
    """What is replaced; it must be in the file exactly once."""
    new: str
    by: str
    """The name of the test, without `test_`; one parameter of it may follow in brackets."""

    def test(self) -> Test:
        """Return the test as the row names it. Raises LookupError if the row doesn't."""
        name = f"test_{self.by.partition('[')[0]}"
        return next(test for row in guarantees() if row.number == self.row for test in row.tests if test.name == name)

    @property
    def node(self) -> str:
        """The test's id for pytest."""
        return self.test().node + self.by[len(self.by.partition("[")[0]) :]

    def applied(self, text: str) -> str:
        """Return the file's text without the mechanism. Raises ValueError if the text has changed."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} does not contain the text of '{self.name}' exactly once")
        return text.replace(self.old, self.new)


def mutations() -> list[Mutation]:
    """Return all of them, by row."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    found = [Mutation(**entry) for file in files for entry in tomllib.loads(file.read_text())["mutation"]]
    return sorted(found, key=lambda mutation: mutation.row)
