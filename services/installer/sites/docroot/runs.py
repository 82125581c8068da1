"""One run of one install, and the names that everything it makes is known by."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_STAGE = re.compile(r"\.stage-g(\d+)-f(\d+)")
_DATABASE = re.compile(r"[a-z0-9]+_g(\d+)f(\d+)")


@dataclass(frozen=True, order=True)
class Run:
    """Later runs compare greater: by generation, then by fence (which may begin again in each generation).

    Two runs never share a name, so a run that was thought dead and is not works on things that
    nobody else touches, except to take them away.
    """

    generation: int
    fence: int

    def stage(self, home: Path) -> Path:
        """Where the run builds its tree; after the exchange, where the older tree is."""
        return home / f".stage-g{self.generation}-f{self.fence}"

    def database(self, username: str) -> str:
        """The run's database, and its user."""
        return f"{database_prefix(username)}{self.generation}f{self.fence}"

    @classmethod
    def of_stage(cls, path: Path) -> Self | None:
        """The run that a stage directory is named after; None if it is none."""
        return cls._of(_STAGE.fullmatch(path.name))

    @classmethod
    def of_database(cls, name: str) -> Self | None:
        """The run that a database is named after; None if it is not one of ours."""
        return cls._of(_DATABASE.fullmatch(name))

    @classmethod
    def _of(cls, match: re.Match[str] | None) -> Self | None:
        return None if match is None else cls(generation=int(match[1]), fence=int(match[2]))


def database_prefix(username: str) -> str:
    """What all databases of an account begin with, and those of no other: usernames hold no underscore."""
    return f"{username}_g"
