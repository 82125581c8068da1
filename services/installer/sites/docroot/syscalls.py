"""Two Linux calls that Python's `os` lacks: exchange two directories in one step, and sync one disk."""

import ctypes
import errno
import os
import stat
from pathlib import Path

from services.installer.sites.causes import failed

_libc = ctypes.CDLL(None, use_errno=True)

_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h
_MOUNTED = (errno.EXDEV, errno.EBUSY)
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def exchange(one: Path, other: Path) -> None:
    """Exchange two existing paths of one file system atomically, so that neither is ever missing (renameat2).

    Raises `Failed`: exchange_unsupported where the file system or the C library cannot, docroot_mounted where one of
    them is a mount point; `OSError` otherwise.
    """
    renameat2 = getattr(_libc, "renameat2", None)
    if renameat2 is None:
        raise failed("exchange_unsupported", "the C library of this machine has no renameat2")
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        raise failed("exchange_unsupported", f"{one.parent}: {os.strerror(number)}")
    if number in _MOUNTED:
        raise failed("docroot_mounted", f"{other}: {os.strerror(number)}")
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def require_exchangeable(home: Path, www: Path, private: Path) -> None:
    """Raise `Failed` unless these are real directories: account_missing, docroot_linked, docroot_mounted.

    A link itself would be exchanged, and its target left where it is, perhaps on another disk.
    """
    for path in (home, www, private):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            raise failed("account_missing", f"{home} lacks `www` or `private`") from None
        if stat.S_ISLNK(mode):
            raise failed("docroot_linked", f"{path} is a link to {path.readlink()}")
        if not stat.S_ISDIR(mode):
            raise failed("account_missing", f"{path} is not a directory")
    if www.is_mount():
        raise failed("docroot_mounted", f"{www} is a mount point")


def sync_disk(path: Path) -> None:
    """Flush the file system that `path` is on (syncfs), before a marker records it as done."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)
