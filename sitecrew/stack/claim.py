"""Locks: one run at a time on the same data."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import Refused

_PATIENCE = 5.0  # seconds; an earlier run may just be ending
_PAUSE = 0.05


@contextmanager
def claimed(path: Path, patience: float | None = None) -> Iterator[int]:
    """Lock the file and yield the descriptor, to be inherited: the lock lasts as long as any process has it open.

    Raises `Refused` if another process holds it for longer than `patience` seconds (None: 5).
    """
    with path.open("a") as file:
        claim = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 10)  # shells use the numbers below 10 as they like
    try:
        _lock(claim, path, _PATIENCE if patience is None else patience)
        yield claim
    finally:
        os.close(claim)


def is_claimed(path: Path) -> bool:
    """Whether a process holds the lock now. Does not create the file."""
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
                message = f"Another run still uses {path.parent}: stop it, or choose another directory."
                raise Refused(message) from None
            time.sleep(_PAUSE)  # flock itself knows no deadline
        else:
            return
