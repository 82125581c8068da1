"""What else is in a document root: names of the host's and the customer's that are kept, whatever is installed.

Certificates are renewed through files in `.well-known`; panels put `cgi-bin` and `.htaccess` there. These move to the
new tree right after an exchange, and back if it is rolled back.
"""

import errno
import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from services.installer.sites.causes import failed
from services.installer.sites.docroot import safe_paths
from services.installer.sites.docroot.htaccess import merged, own
from services.installer.sites.docroot.syscalls import exchange
from services.installer.sites.programs import Owner

_HTACCESS = ".htaccess"
_LONGEST = 256 << 10  # bytes of an .htaccess
_NAMED = 5
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def foreign(www: Path, keep: Collection[str], replace: Collection[str]) -> list[str]:
    """The names in a document root that are neither kept nor may be replaced."""
    return sorted(name for name in _names(www) if not _is_one_of(name, (*keep, *replace)))


def listed(names: Collection[str]) -> str:
    """A few of the names, and their number, for people; names may be any bytes."""
    shown = ", ".join(os.fsencode(name).decode("utf-8", "backslashreplace") for name in sorted(names)[:_NAMED])
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in shown)
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def to_carry(www: Path, stage: Path, keep: Collection[str], *, first: bool) -> dict[str, int]:
    """What must move from `www` into the tree that replaces it: names and inodes.

    A folder that both have is taken from the older tree and completed later (`fill_up`). A file that both have is taken
    from the new one. Raises `Failed` (docroot_not_empty) if that would replace a customer's own, at the first install.
    """
    carried: dict[str, int] = {}
    for name in _names(www):
        if not _is_one_of(name, keep):
            continue
        here, there = (www / name).lstat(), _lstat(stage / name)
        if there is None or (stat.S_ISDIR(here.st_mode) and stat.S_ISDIR(there.st_mode)):
            carried[name] = here.st_ino
        elif first and name != _HTACCESS:
            raise failed("docroot_not_empty", f"{www} contains {listed([name])}, which the application also brings")
    return carried


def move(carried: Mapping[str, int], source: Path, target: Path) -> None:
    """Move what is kept to the other tree, unless it is there already. Both trees are in folders of ours."""
    for name, inode in carried.items():
        here = _lstat(source / name)
        if here is None or here.st_ino != inode:
            continue
        if _lstat(target / name) is None:
            (source / name).rename(target / name)
        else:
            exchange(source / name, target / name)


def fill_up(carried: Mapping[str, int], older: Path, www: Path) -> None:
    """Add to the kept folders what the application brings and they lack."""
    for name in carried:
        with suppress(OSError):
            source = os.open(older / name, _FOLDER)
            try:
                target = os.open(www / name, _FOLDER)
                try:
                    for entry in set(_names(source)) - set(_names(target)):
                        os.rename(entry, entry, src_dir_fd=source, dst_dir_fd=target)
                finally:
                    os.close(target)
            finally:
                os.close(source)


def join_htaccess(www: Path, stage: Path, keep: Collection[str], owner: Owner | None, *, first: bool) -> None:
    """Merge the application's `.htaccess`, if it brings one, with other parties' lines in the present one.

    Raises `Failed` (docroot_not_empty) if that is not a plain text file, at the first install.
    """
    if _lstat(stage / _HTACCESS) is None:
        return
    application = _read(stage)
    if application is None:
        return
    there = _read(www) if _is_one_of(_HTACCESS, keep) else ""
    if there is None and first:
        raise failed("docroot_not_empty", f"{www}/{_HTACCESS} is not a file that the application's can be merged with")
    text = merged(there or "", own(application))
    mode = stat.S_IMODE((stage / _HTACCESS).lstat().st_mode) & 0o777
    safe_paths.write(stage, _HTACCESS, text, mode, owner)


def _read(tree: Path) -> str | None:
    """The text of a tree's `.htaccess`: '' if there is none, None if it is not a file of moderate size."""
    try:
        handle = os.open(tree / _HTACCESS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            return None
        raise
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST:
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(_LONGEST).decode("utf-8", "surrogateescape")


def _names(folder: Path | int) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 - of an open one, too


def _is_one_of(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
