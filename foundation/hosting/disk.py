"""Disks: free space, small marker files that survive a crash, and errors."""

import errno
import fcntl
import json
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from foundation.hosting.causes import failed

_CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EACCES: "disk_denied",
    errno.EPERM: "disk_denied",
    errno.EROFS: "disk_denied",
}

_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHIES = 0x80086601, 0x40086602, 0x00020000  # linux/fs.h, on 64-bit machines
_FLAGS = struct.Struct("@i")


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn errors of a full or read-only disk into `Failed` (disk_full, disk_denied); `what` starts the detail.

    Any other `OSError` passes unchanged: we know no cause for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CODES:
            raise
        place = f" at {error.filename}" if error.filename else ""
        raise failed(_CODES[error.errno], f"{what}: {error.strerror}{place}") from error


def require_room(path: Path, space: int, inodes: int) -> None:
    """Raise `Failed` (disk_full) unless `path`'s disk has `space` bytes and `inodes` inodes free for us."""
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < space:
        raise failed("disk_full", f"{path}: {free} bytes free, {space} needed")
    # Btrfs and others make inodes as needed and report none at all.
    if disk.f_files and disk.f_favail < inodes:
        raise failed("disk_full", f"{path}: {disk.f_favail} inodes free, {inodes} needed")


def spread(directory: Path) -> None:
    """Have ext2 to ext4 place each directory that is made in this one apart from the others, as is usual for /home
    (`chattr +T`): an account's files then lie together, and making them does not search where another's were removed.
    Other file systems need none of this."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            (flags,) = _FLAGS.unpack(fcntl.ioctl(handle, _GET_FLAGS, bytes(_FLAGS.size)))
            fcntl.ioctl(handle, _SET_FLAGS, _FLAGS.pack(flags | _TOP_OF_HIERARCHIES))
    finally:
        os.close(handle)


def read_marker(path: Path) -> dict[str, object] | None:
    """A marker's content; None if it does not exist or is not ours (not a JSON object)."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_marker(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` to `path` atomically and durably; readable only by the owner."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_new(draft, json.dumps(content), 0o600)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    sync_directory(path.parent)


def write_new(path: Path, text: str, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write a file that must not exist yet, durably and with exactly this mode, whatever our umask is.

    `owner` (user and group id) is set on the open file: under its name, there could be another one by then.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
