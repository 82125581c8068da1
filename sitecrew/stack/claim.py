"""One run at a time on the same data."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import Refused

_PATIENCE = 5.0  # seconds; an earlier run may be ending just now
_PAUSE = 0.05


@contextmanager
def claimed(path: Path, patience: float | None = None) -> Iterator[int]:
    """A descriptor that holds a lock on the file, to be inherited: the lock lasts as long as anybody has it open.

    Raises `Refused` if somebody else holds it and does not let go within so many seconds (None: 5).
    """
    with path.open("a") as file:
        claim = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 10)  # shells use the numbers below 10 as they like
    try:
        _lock(claim, path, _PATIENCE if patience is None else patience)
        yield claim
    finally:
        os.close(claim)


def is_claimed(path: Path) -> bool:
    """Whether somebody holds the lock just now. Makes no file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(claim: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"Another run still uses {path.parent}: stop that one, or choose another directory."
                raise Refused(message) from None
            time.sleep(_PAUSE)  # flock itself knows no deadline
        else:
            return
