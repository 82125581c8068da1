"""Homes under construction: completed under a temporary name, beside their final place."""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from foundation.hosting.disk import write_marker

_YOUNG = 60.0  # seconds for which a draft is left alone, whether it is locked or not: its builder may just begin


@contextmanager
def drafted(home: Path, marker: Mapping[str, str]) -> Iterator[Path]:
    """A complete home with its marker, to be renamed into place. Otherwise it is removed at the end, or by
    `discard_abandoned` if the process is killed: the draft is locked as long as its builder lives."""
    draft = home.with_name(f".{home.name}.{secrets.token_hex(4)}")
    draft.mkdir()
    handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network file systems lock no directories
            fcntl.flock(handle, fcntl.LOCK_EX)
        for path, mode in ((draft, 0o711), (draft / "www", 0o2750), (draft / "private", 0o700)):
            path.mkdir(exist_ok=path == draft)
            path.chmod(mode)
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        write_marker(draft / "private" / "account.json", {**marker, "created_at": created_at})
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(handle)


def discard_abandoned(accounts: Path) -> None:
    """Remove the drafts whose builders were killed, for any account."""
    for draft in abandoned(accounts):
        shutil.rmtree(draft, ignore_errors=True)


def abandoned(accounts: Path) -> Iterator[Path]:
    """Yield the drafts whose builders were killed."""
    for draft in accounts.glob(".*.*"):
        # One that vanishes while we look has a builder, who has just finished.
        with suppress(FileNotFoundError, NotADirectoryError):
            if time.time() - draft.stat().st_mtime > _YOUNG and not _has_a_builder(draft):
                yield draft


def _has_a_builder(draft: Path) -> bool:
    handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(handle)
