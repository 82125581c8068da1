"""Unpacked archives: each once, under its checksum."""

import errno
import hashlib
import secrets
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from foundation.hosting.disk import disk_errors
from foundation.hosting.removal import remove_tree
from services.installer.sites.archive.recipe import Source
from services.installer.sites.archive.unpack import unpack
from services.installer.sites.causes import failed
from services.installer.sites.docroot.syscalls import sync_disk

_ABANDONED = 3600.0  # seconds after which a half-unpacked folder has certainly lost its worker


def require_unchanged(archive: Path, source: Source) -> None:
    """Raise `Failed` (archive_missing, archive_changed) unless the archive matches the recipe."""
    try:
        found = archive.stat()
        is_now = _checksum(archive, found.st_ino, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise failed("archive_missing", f"{archive}: {error.strerror}") from None
    if is_now != source.sha256:
        raise failed("archive_changed", f"{archive} has the checksum {is_now}, but should have {source.sha256}")


@lru_cache(maxsize=256)
def _checksum(archive: Path, _inode: int, _size: int, _changed: int) -> str:
    """A file's checksum, computed again only if the file has changed."""
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpacked(archive: Path, source: Source, places: Path) -> Path:
    """The folder of the archive's files, below `places`; unpacked there if it is not yet.

    Raises `Failed`: archive_missing, archive_changed, archive_unsafe, archive_broken, disk_full, disk_denied.
    """
    require_unchanged(archive, source)
    place = places / source.sha256
    with disk_errors(f"unpacking {archive.name}"):
        if not place.is_dir():
            _unpack(archive, source, place)
    return place


def _unpack(archive: Path, source: Source, place: Path) -> None:
    """The folder gets its name when it is complete; another process unpacking the same may win."""
    place.parent.mkdir(0o700, parents=True, exist_ok=True)
    _discard_abandoned(place.parent)
    draft = place.with_name(f".{secrets.token_hex(8)}")
    draft.mkdir(0o700)
    try:
        unpack(archive, source, draft)
        # What is unpacked now must be what was checked: the file may have been replaced in between.
        require_unchanged(archive, source)
        sync_disk(draft)
        draft.rename(place)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    finally:
        _remove(draft)


def _discard_abandoned(places: Path) -> None:
    for draft in places.glob(".*"):
        # One that vanishes while we look has a worker, who has just finished.
        with suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - _ABANDONED:
                _remove(draft)


def _remove(draft: Path) -> None:
    with suppress(OSError):
        remove_tree(draft)
