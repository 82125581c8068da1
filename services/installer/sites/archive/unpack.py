"""Unpacking an application's archive, which is not trusted: nothing in it gets out of its folder.

An archive's entries are listed first (`survey`), each is checked, and we write them ourselves: folders, regular files
with one set of permissions, and nothing else. A link inside the archive becomes a copy of its target, so that there is
never a link on the disk to be followed.
"""

import errno
import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from foundation.errors import Failed
from foundation.hosting.disk import require_room
from services.installer.sites.archive.recipe import Source
from services.installer.sites.causes import failed

_DIRECTORY, _FILE = 0o700, 0o600
_CHUNK = 1 << 20  # bytes
_LINKS = 8
"""The length of a chain of links that counts as a loop."""

_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)
"""What the libraries raise for archives that are truncated, damaged, encrypted or in an unknown format. So are their
`OSError`s without a number (bzip2's, gzip's)."""
_CONTRADICTIONS = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""Errors of writing into an empty folder that only occur if the archive has two things at one path, or an empty one."""


@dataclass(frozen=True)
class Entry:
    """An entry of an archive: a folder, a file that can be opened, or a link to another entry."""

    size: int
    open: Callable[[], IO[bytes]] | None = None
    target: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.open is None and self.target is None


def unpack(archive: Path, source: Source, into: Path) -> None:
    """Unpack into an existing, empty folder of ours.

    Raises `Failed`: archive_unsafe, archive_broken, disk_full.
    """
    with _listed(archive, source) as entries:
        require_room(into, sum(entry.size for entry in entries.values()), len(entries))
        left = source.largest
        for name, entry in entries.items():
            place = into / name
            if entry.is_folder:
                place.mkdir(_DIRECTORY, parents=True, exist_ok=True)
            else:
                place.parent.mkdir(_DIRECTORY, parents=True, exist_ok=True)
                left = _write(_opener(entries, name), place, left, archive)


def survey(archive: Path, source: Source) -> tuple[int, int]:
    """The number of bytes and entries in the archive, after checking each. Raises `Failed` as `unpack` does."""
    with _listed(archive, source) as entries:
        for name, entry in entries.items():
            if entry.target is not None:
                _opener(entries, name)
        return sum(entry.size for entry in entries.values()), len(entries)


@contextmanager
def _listed(archive: Path, source: Source) -> Iterator[Mapping[str, Entry]]:
    """Every entry by its path, while the archive is open."""
    try:
        if _is_tar(archive):
            with tarfile.open(archive) as tar:
                yield _judged(_of_tar(tar), archive, source)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                yield _judged(_of_zip(packed), archive, source)
        else:
            raise failed("archive_broken", f"{archive} is neither a tar (plain, .gz, .bz2, .xz) nor a zip")
    except _BROKEN as error:
        raise failed("archive_broken", f"{archive}: {type(error).__name__}: {error}") from None
    except OSError as error:
        if error.errno is not None and error.errno not in _CONTRADICTIONS:
            raise
        raise failed("archive_broken", f"{archive}: {error}") from None


def _is_tar(archive: Path) -> bool:
    with suppress(EOFError, zlib.error):
        return tarfile.is_tarfile(archive)
    return False


def _of_tar(tar: tarfile.TarFile) -> Iterator[tuple[str, Entry]]:
    for member in tar:
        if member.isdir():
            entry = Entry(0)
        elif member.isreg():
            entry = Entry(member.size, lambda member=member: cast("IO[bytes]", tar.extractfile(member)))  # type: ignore[misc]
        elif member.issym():
            entry = Entry(0, target=posixpath.join(posixpath.dirname(member.name), member.linkname))
        elif member.islnk():
            entry = Entry(0, target=member.linkname)
        else:
            raise _unsafe(tar.name, f"{member.name!r} is a device or pipe")
        yield member.name, entry


def _of_zip(packed: zipfile.ZipFile) -> Iterator[tuple[str, Entry]]:
    for info in packed.infolist():
        if info.is_dir():
            entry = Entry(0)
        elif stat.S_ISLNK(info.external_attr >> 16):
            link = packed.read(info).decode("utf-8", "replace") if info.file_size < 4096 else "/"
            entry = Entry(0, target=posixpath.join(posixpath.dirname(info.filename), link))
        else:
            entry = Entry(info.file_size, lambda info=info: packed.open(info))  # type: ignore[misc]
        yield info.filename, entry


def _judged(entries: Iterator[tuple[str, Entry]], archive: Path, source: Source) -> Mapping[str, Entry]:
    """The entries by their plain names, if each is safe and all are within the limits."""
    found: dict[str, Entry] = {}
    size = 0
    for number, (name, entry) in enumerate(entries, 1):
        size += entry.size
        if number > source.most_files:
            raise _unsafe(archive, f"it contains more than {source.most_files} entries (`most_files`)")
        if size > source.largest:
            raise _unsafe(archive, f"it contains more than {source.largest} bytes (`largest`)")
        found[_plain(name, archive)] = entry
    found.pop(".", None)
    return found


def _plain(name: str, archive: Path) -> str:
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
        raise _unsafe(archive, f"{name!r} would be written outside of the site's folder")
    return posixpath.normpath(name)


def _opener(entries: Mapping[str, Entry], name: str) -> Callable[[], IO[bytes]]:
    """Open the file with a name, through links."""
    at = name
    for _ in range(_LINKS):
        entry = entries.get(at)
        if entry is None or entry.is_folder:
            break
        if entry.open is not None:
            return entry.open
        at = posixpath.normpath(entry.target or "")
    raise failed("archive_unsafe", f"{name!r} is a link to {at!r}, which is not a file in the archive")


def _write(opener: Callable[[], IO[bytes]], place: Path, left: int, archive: Path) -> int:
    """Write a file and return the bytes still allowed after it. The sizes that an archive states need not be true."""
    with opener() as inlet, place.open("xb") as outlet:
        place.chmod(_FILE)
        while piece := inlet.read(_CHUNK):
            left -= len(piece)
            if left < 0:
                raise _unsafe(archive, "it unpacks to more than `largest` allows")
            outlet.write(piece)
    return left


def _unsafe(archive: object, what: str) -> Failed:
    return failed("archive_unsafe", f"{archive}: {what}")
