"""Old trees: moved out of the way at once, and removed in the background.

However large or deep a customer's old tree is, it cannot delay or fail an install: a separate thread removes one after
the other. What cannot be removed, or is left when this process ends, waits for the account's next sweep.
"""

import os
import queue
import secrets
import threading
from contextlib import suppress
from pathlib import Path

import structlog

from foundation.hosting.removal import remove_tree

_PREFIX = ".trash-"
_log = structlog.get_logger(__name__)
_waiting: "queue.Queue[Path]" = queue.Queue()
_known: set[Path] = set()
_lock = threading.Lock()


def throw_away(tree: Path, home: Path) -> None:
    """Move a tree of `home` out of the way, into a folder that only we can enter."""
    bag = home / f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        bag.mkdir(mode=0o700)
        tree.rename(bag / "tree")
    except OSError as error:
        with suppress(OSError):
            bag.rmdir()
        if tree.exists():
            _log.warning("site.leftovers_kept", path=str(tree), reason=str(error))


def is_trash(path: Path) -> bool:
    """Whether a folder in a home was thrown away."""
    return path.name.startswith(_PREFIX)


def empty(home: Path) -> None:
    """Remove everything that was thrown away in `home`, in the background."""
    for bag in home.glob(f"{_PREFIX}*"):
        with _lock:
            if bag in _known:
                continue
            _known.add(bag)
        _waiting.put(bag)
    with _lock:
        if _known and not any(thread.name == _PREFIX for thread in threading.enumerate()):
            threading.Thread(target=_remove_all, name=_PREFIX, daemon=True).start()


def wait() -> None:
    """Wait until everything thrown away so far is removed, or could not be. For tests."""
    _waiting.join()


def _remove_all() -> None:
    while True:
        bag = _waiting.get()
        try:
            remove_tree(bag)
        except Exception as error:  # noqa: BLE001 - this thread has to go on, and the next sweep meets it again
            _log.warning("site.leftovers_kept", path=os.fsencode(bag).decode("utf-8", "replace"), reason=str(error))
        finally:
            with _lock:
                _known.discard(bag)
            _waiting.task_done()
