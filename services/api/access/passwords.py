"""Passwords of staff: hashed with Argon2id."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from foundation.errors import Refused

SHORTEST, LONGEST = 12, 200
_DIFFERENT = 5
"""So many different characters at least."""
_NAME = 4
"""Names that are shorter may be part of a password."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's recommendation for Argon2id: 19 MiB each, so that several sign-ins at once fit into a small container."""
_turns = BoundedSemaphore(4)
_PATIENCE = 1.0
"""Seconds to wait for a turn, or sign-ins by the hundred would use up the memory, or all threads."""


def new() -> str:
    """Return a random password that can be typed."""
    return secrets.token_urlsafe(15)


def hashed(password: str, name: str) -> str:
    """Return what is kept of a member's password. Raises Refused if it is too short, too long or too simple."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters")
    if len(set(password)) < _DIFFERENT or (len(name) >= _NAME and name in password.casefold()):
        raise Refused(f"a password has at least {_DIFFERENT} different characters, and not your name in it")
    with _turn():
        return _hasher.hash(password)


def fits(kept: str | None, password: str) -> bool:
    """Return whether a password is the one that was hashed. Takes as long if there is none to compare with, so that
    nobody learns which names exist. Raises Refused if too many are compared just now."""
    with _turn():
        try:
            return _hasher.verify(kept or _nobodys(), password[: LONGEST + 1]) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=_PATIENCE):
        raise Refused("too many people sign in just now; try again in a moment")
    try:
        yield
    finally:
        _turns.release()


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_urlsafe(32))
