"""The files of an SQLite database: names and addresses of all customers, so they are nobody else's to read."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps beside the database; it gives these the database's own permissions when it makes them."""
_OTHERS = 0o077
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "lustre", "afs"}
)
_MOUNTS = Path("/proc/self/mountinfo")


def make_private(file: Path) -> None:
    """Make the file, if it is not there, and take it from everybody else, whatever the umask. What can't be done
    (another user's file) is left to `complaints`, and what SQLite can't open to SQLite."""
    # Never opened if it is there: closing it would drop the locks that SQLite has on it in this process
    # ("How To Corrupt An SQLite Database File", 2.2).
    with suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for path, mode in _open_to_others(file):
        with suppress(OSError):
            path.chmod(mode & ~_OTHERS)


def complaints(file: Path, mounts: Path = _MOUNTS) -> list[str]:
    """What is wrong with where and how the files are kept, with what to do."""
    found = []
    if exposed := list(_open_to_others(file)):
        names = " ".join(str(path) for path, _ in exposed)
        found.append(f"others on this machine may read or write {exposed[0][0].name}: chmod 600 {names}")
    if kind := _file_system(file.absolute(), mounts):
        found.append(
            f"{file} is on a network file system ({kind}), where SQLite's locks don't hold and rows get lost: "
            "keep it on a local disk, or use PostgreSQL (`sitecrew store copy`)"
        )
    return found


def _open_to_others(file: Path) -> Iterator[tuple[Path, int]]:
    for beside in _BESIDE:
        path = file.with_name(file.name + beside)
        with suppress(OSError):
            mode = path.stat().st_mode & 0o7777
            if mode & _OTHERS:
                yield path, mode


def _file_system(file: Path, mounts: Path) -> str:
    """The type of the network file system that a file is on; empty if it is on none, or nothing tells."""
    nearest, found = "", ""
    with suppress(OSError):
        for line in mounts.read_text().splitlines():
            head, _, tail = line.partition(" - ")  # proc(5): the fifth word is the place, after the dash the type
            place = head.split()[4].encode().decode("unicode_escape")
            if file.is_relative_to(place) and len(place) >= len(nearest):
                nearest, found = place, tail.split()[0]
    return found if found in _NETWORK else ""
