"""Changing files in a tree that may already belong to someone else, without being misled by links in it.

A customer's processes may rename things in their tree while we work there, perhaps as root. So a path is walked folder
by folder, none of which may be a link, and the final operation is relative to the last folder's descriptor.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from foundation.hosting.removal import remove_tree
from services.installer.sites.docroot.tree import DIRECTORY
from services.installer.sites.programs import Owner

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def write(root: Path, inside: str, text: str, mode: int, owner: Owner | None) -> None:
    """Write or replace a file, and create the folders above it. Raises `OSError`."""
    with _parent(root, inside, owner, make=True) as (folder, name):
        _remove(folder, name)
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            os.fchmod(handle, mode)
            if owner is not None:
                os.fchown(handle, *owner)
            file.write(text)


def remove(root: Path, inside: str) -> None:
    """Remove a file or a whole folder; no error if it does not exist. Raises `OSError`."""
    with suppress(FileNotFoundError), _parent(root, inside, None, make=False) as (folder, name):
        _remove(folder, name)


def _remove(folder: int, name: str) -> None:
    remove_tree(name, dir_fd=folder)


@contextmanager
def _parent(root: Path, inside: str, owner: Owner | None, *, make: bool) -> Iterator[tuple[int, str]]:
    """The open folder that contains a path's last name, and that name."""
    *folders, name = PurePosixPath(inside).parts
    handle = os.open(root, _FOLDER)
    try:
        for folder in folders:
            inner = _enter(handle, folder, owner, make=make)
            os.close(handle)
            handle = inner
        yield handle, name
    finally:
        os.close(handle)


def _enter(handle: int, folder: str, owner: Owner | None, *, make: bool) -> int:
    made = False
    if make:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700, dir_fd=handle)
            made = True
    inner = os.open(folder, _FOLDER, dir_fd=handle)
    if made:
        if owner is not None:
            os.fchown(inner, *owner)
        os.fchmod(inner, DIRECTORY)
    return inner
