"""The files of an image: one archive that stays in memory, written out as a new tree."""

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.installer.sites.docroot.tree import DIRECTORY, FILE
from services.installer.sites.programs import Owner

_BLOCK = 4096
_LARGE = 64 << 10
"""Bytes from which a file is copied by the kernel, which shares its blocks where the file system can (XFS, Btrfs)."""
_CANNOT = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Folder:
    """One folder: its path inside the tree, and its files as (name, first byte, size) in the archive."""

    path: str
    files: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Tree:
    """Folders, each after its parent, and the checksum over all that they hold."""

    folders: tuple[Folder, ...]
    sha256: str


def pack(source: Path, archive: Path, without: frozenset[str]) -> Tree:
    """Write the files of `source`, except for some names at its top, to the new file `archive`."""
    digest = hashlib.sha256()
    folders = []
    with archive.open("xb") as out:
        for path, names in _walk(source):
            files = []
            for name in names:
                if path == "" and name in without:
                    continue
                content = (source / path / name).read_bytes()
                out.write(bytes(-out.tell() % _BLOCK) if len(content) >= _LARGE else b"")
                files.append((name, out.tell(), len(content)))
                out.write(content)
                digest.update(f"{path}/{name}:{len(content)}:".encode() + content)
            folders.append(Folder(path, tuple(files)))
    return Tree(tuple(folders), digest.hexdigest())


class Archive:
    """An archive that is open for as long as its image is in use."""

    def __init__(self, path: Path, tree: Tree) -> None:
        self._tree = tree
        with path.open("rb") as file:
            self._file = os.dup(file.fileno())
            self._bytes = memoryview(mmap.mmap(self._file, 0, prot=mmap.PROT_READ))

    def is_sound(self) -> bool:
        """Whether the archive holds what was packed."""
        digest = hashlib.sha256()
        for folder in self._tree.folders:
            for name, first, size in folder.files:
                digest.update(f"{folder.path}/{name}:{size}:".encode() + self._bytes[first : first + size])
        return digest.hexdigest() == self._tree.sha256

    def unpack(self, stage: Path, owner: Owner | None) -> None:
        """Write all files into the empty directory `stage`, which `owner` cannot enter yet, as theirs."""
        root = os.open(stage, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in self._tree.folders:
                if folder.path:
                    os.mkdir(folder.path, DIRECTORY, dir_fd=root)
                    os.chmod(folder.path, DIRECTORY, dir_fd=root)
                self._fill(folder, root, owner)
        finally:
            os.close(root)

    def _fill(self, folder: Folder, root: int, owner: Owner | None) -> None:
        place = os.open(folder.path or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
        try:
            for name, first, size in folder.files:
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE, dir_fd=place)
                try:
                    os.fchmod(file, FILE)
                    self._write(file, first, size)
                    if owner is not None:
                        os.fchown(file, *owner)
                finally:
                    os.close(file)
            if owner is not None and folder.path:
                os.fchown(place, *owner)
        finally:
            os.close(place)

    def _write(self, file: int, first: int, size: int) -> None:
        end = first + size
        if size >= _LARGE:
            first += self._shared(file, first, size - size % _BLOCK)
        while first < end:
            first += os.write(file, self._bytes[first:end])

    def _shared(self, file: int, first: int, size: int) -> int:
        """How many bytes the kernel has copied; none from one file system to another."""
        copied = 0
        try:
            while copied < size and (more := os.copy_file_range(self._file, file, size - copied, first + copied)):
                copied += more
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        return copied


def _walk(source: Path) -> Iterator[tuple[str, list[str]]]:
    for path, folders, names in os.walk(source):
        folders.sort()
        yield os.path.relpath(path, source) if path != str(source) else "", sorted(names)
