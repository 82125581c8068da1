"""Two Linux calls that Python's `os` lacks: exchange two directories in one step, and sync one disk."""

import ctypes
import errno
import os
from pathlib import Path

from services.installer.sites.causes import failed

_libc = ctypes.CDLL(None, use_errno=True)

_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def exchange(one: Path, other: Path) -> None:
    """Let two existing paths of one file system change places, so that neither is ever missing (renameat2).

    Raises `Failed` (exchange_unsupported) where the file system or the C library cannot, `OSError` otherwise.
    """
    renameat2 = getattr(_libc, "renameat2", None)
    if renameat2 is None:
        raise failed("exchange_unsupported", "the C library of this machine has no renameat2")
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        raise failed("exchange_unsupported", f"{one.parent}: {os.strerror(number)}")
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def sync_disk(path: Path) -> None:
    """Write everything of the disk that `path` is on to it (syncfs), before a marker vouches for it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)
