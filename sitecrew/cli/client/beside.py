"""Finds the stack of `sitecrew up`, or the demonstration, that runs where a command is called."""

from pathlib import Path

from foundation.config.sources import settings_file
from sitecrew.stack.claim import is_claimed

_PLACES = ("var/up", "var/demo")


def running_stack(named: Path | None) -> Path | None:
    """The settings file of a stack that runs in or above this directory, unless there is a settings file already."""
    if settings_file(named) is not None:
        return None
    here = Path.cwd()
    directories = [base / place for base in (here, *here.parents) for place in _PLACES]
    found = (directory / "sitecrew.toml" for directory in directories if is_claimed(directory / "lock"))
    return next((config for config in found if config.is_file()), None)
