"""Removing a tree that may belong to a customer: of any depth, and without following links out of it."""

import errno
import os
import secrets
import time
from pathlib import Path

_PATIENCE = 600.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(path: Path | str, *, dir_fd: int | None = None, seconds: float = _PATIENCE) -> None:
    """Remove a file, a link or a whole folder; no error if it does not exist. Gives up after `seconds`: something may
    be adding to the tree as fast as it is removed.

    Inner folders are moved to the top before they are emptied, so that neither our stack nor our descriptors grow
    with the depth. Raises the `OSError` of what could not be removed, once everything else is gone.
    """
    try:
        top = os.open(path, _FOLDER, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except OSError:  # no folder, or one that is not ours to read
        os.unlink(path, dir_fd=dir_fd)
        return
    try:
        _empty_out(top, time.monotonic() + seconds)
    finally:
        os.close(top)
    os.rmdir(path, dir_fd=dir_fd)


def _empty_out(top: int, deadline: float) -> None:
    """Repeat passes as long as one makes progress."""
    while True:
        done, resisting = False, None
        for name in os.listdir(top):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            try:
                done = _take_away(top, name) or done
            except OSError as error:
                resisting = error
        if not done:
            if resisting is not None:
                raise resisting
            return


def _take_away(top: int, name: str) -> bool:
    """Remove an entry of the top folder; of a folder, as much as possible. Returns whether anything was removed."""
    try:
        folder = _opened(name, top)
    except NotADirectoryError:
        os.unlink(name, dir_fd=top)
        return True
    done, resisting = False, None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    _lift(entry, folder, top)
                    done = True
                except OSError as error:
                    resisting = error
    finally:
        os.close(folder)
    if resisting is None or done:
        try:
            os.rmdir(name, dir_fd=top)
        except OSError as error:
            resisting = resisting or error
        else:
            return True
    if not done and resisting is not None:
        raise resisting
    return done


def _lift(entry: os.DirEntry[str], folder: int, top: int) -> None:
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.name, dir_fd=folder)
        return
    _permit(entry.name, folder)
    os.rename(entry.name, f"{secrets.token_hex(8)}.lifted", src_dir_fd=folder, dst_dir_fd=top)


def _opened(name: str, top: int) -> int:
    try:
        folder = os.open(name, _FOLDER, dir_fd=top)
    except PermissionError:
        _permit(name, top)
        folder = os.open(name, _FOLDER, dir_fd=top)
    except OSError:
        raise NotADirectoryError(name) from None  # a link, too, is only unlinked
    _permit(name, top)
    return folder


def _permit(name: str, folder: int) -> None:
    """Make our own folder writable first, unless we are root. (Root need not, and could be misled to a link's
    target.)"""
    if os.geteuid() != 0:
        os.chmod(name, 0o700, dir_fd=folder)
