"""One run of one install, and the names of everything it creates."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_STAGE = re.compile(r"\.stage-g(\d+)-f(\d+)")
_LONGEST_USERNAME = 16
_DATABASE = re.compile(r"[a-z0-9]+_g(\d+)f(\d+)")


@dataclass(frozen=True, order=True)
class Run:
    """Later runs compare greater: by generation, then by fence (which may start over in each generation).

    Two runs never share a name, so a run that was wrongly thought dead works on things that nobody
    else touches, except to remove them.
    """

    generation: int
    fence: int

    def stage(self, home: Path) -> Path:
        """The name of the run's tree; after the exchange, of the older tree."""
        return home / f".stage-g{self.generation}-f{self.fence}"

    def database(self, username: str) -> str:
        """The run's database, and its user."""
        return f"{database_prefix(username)}{self.generation}f{self.fence}"

    @classmethod
    def of_stage(cls, path: Path) -> Self | None:
        """The run that a stage directory is named after; None for other directories."""
        return cls._of(_STAGE.fullmatch(path.name))

    @classmethod
    def of_database(cls, name: str) -> Self | None:
        """The run that a database is named after; None for other databases."""
        return cls._of(_DATABASE.fullmatch(name))

    @classmethod
    def _of(cls, match: re.Match[str] | None) -> Self | None:
        return None if match is None else cls(generation=int(match[1]), fence=int(match[2]))


def account_of_database(name: str) -> str | None:
    """Return the username of the account whose run a database, or its user, is named after; None for others, also for
    those that images of applications are made with, whose names are longer."""
    username = name.rpartition("_g")[0]
    return username if _DATABASE.fullmatch(name) and len(username) <= _LONGEST_USERNAME else None


def database_prefix(username: str) -> str:
    """The prefix of an account's databases, and of nobody else's: usernames contain no underscore."""
    return f"{username}_g"
