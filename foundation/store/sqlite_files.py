"""Keep the files of an SQLite database private: they hold the names and addresses of all customers."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_BESIDE = ("", "-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside the database; it creates them with the database's permissions."""
_OTHERS = 0o077
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "lustre", "afs"}
)
_MOUNTS = Path("/proc/self/mountinfo")


def make_private(file: Path) -> None:
    """Create the file unless it exists, and remove everybody else's permissions, whatever the umask.

    Never raises: permissions that can't be changed (another user's file) are reported by `complaints`, a file that
    can't be opened by SQLite.
    """
    # An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this process
    # ("How To Corrupt An SQLite Database File", 2.2).
    with suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for path, mode in _open_to_others(file):
        with suppress(OSError):
            path.chmod(mode & ~_OTHERS)


def complaints(file: Path, mounts: Path = _MOUNTS) -> list[str]:
    """Return what is wrong with the files' permissions and file system, each with what to do about it."""
    found = []
    if exposed := list(_open_to_others(file)):
        names = " ".join(str(path) for path, _ in exposed)
        found.append(f"other users of this machine can read or write {exposed[0][0].name}: chmod 600 {names}")
    if kind := _file_system(file.absolute(), mounts):
        found.append(
            f"{file} is on a network file system ({kind}), where SQLite's locks are unreliable and rows get lost: "
            "move it to a local disk, or use PostgreSQL (`sitecrew store copy`)"
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
    """Return the type of the network file system that a file is on; empty if it is on none, or unknown."""
    nearest, found = "", ""
    with suppress(OSError):
        for line in mounts.read_text().splitlines():
            head, _, tail = line.partition(
                " - "
            )  # proc(5): the fifth field is the mount point; the type follows the dash
            place = head.split()[4].encode().decode("unicode_escape")
            if file.is_relative_to(place) and len(place) >= len(nearest):
                nearest, found = place, tail.split()[0]
    return found if found in _NETWORK else ""
