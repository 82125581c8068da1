"""Copying an application's files into a staged tree, as fast as the kernel can."""

import os
from collections.abc import Callable
from pathlib import Path

from services.installer.sites.causes import failed

DIRECTORY = 0o2750  # files take the group of the document root, which is the web server's
FILE = 0o640
_CHUNK = 1 << 30
_BLOCK = 4096  # bytes: what the smallest file takes


def copy_tree(source: Path, stage: Path, wanted: Callable[[str], bool] = lambda _: True) -> None:
    """Copy the content of `source` into the existing, empty directory `stage`; `wanted` decides about each file by its
    relative path.

    Symbolic links are copied as their targets: those may be outside of the tree, where a customer's PHP
    must not look. Raises `Failed` (core_missing) if one is dangling.
    """
    for directory, names, files in os.walk(source, followlinks=True):
        inside = Path(directory).relative_to(source)
        target = stage / inside
        for name in names:
            (target / name).mkdir()
            (target / name).chmod(DIRECTORY)
        for name in files:
            if wanted(str(inside / name)):
                _copy(f"{directory}/{name}", f"{target}/{name}")


def room_of(tree: Path) -> tuple[int, int]:
    """The bytes and inodes that a copy of a tree takes."""
    space = inodes = 0
    for directory, names, files in os.walk(tree):
        inodes += len(names) + len(files)
        space += sum(_BLOCK + Path(directory, name).stat().st_size for name in files)
    return space, inodes


def _copy(source: str, target: str) -> None:
    """Copy one file inside the kernel, which releases the GIL, so that parallel installs use all processors."""
    try:
        inlet = os.open(source, os.O_RDONLY)
    except FileNotFoundError:
        raise failed("core_missing", f"{source} is a dangling link") from None
    try:
        outlet = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE)
        try:
            os.fchmod(outlet, FILE)
            while os.sendfile(outlet, inlet, None, _CHUNK):
                pass
        finally:
            os.close(outlet)
    finally:
        os.close(inlet)
