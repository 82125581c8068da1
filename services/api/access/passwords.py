"""Passwords of staff: hashed with Argon2id."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from foundation.errors import Refused

SHORTEST, LONGEST = 12, 200

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's recommendation for Argon2id: 19 MiB each, so that several sign-ins at once fit into a small container."""


def new() -> str:
    """Return a random password that can be typed."""
    return secrets.token_urlsafe(15)


def hashed(password: str) -> str:
    """Return what is kept of a password. Raises Refused if it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters")
    return _hasher.hash(password)


def fits(kept: str | None, password: str) -> bool:
    """Return whether a password is the one that was hashed. Takes as long if there is none to compare with, so that
    nobody learns which names exist."""
    try:
        return _hasher.verify(kept or _nobodys(), password[: LONGEST + 1]) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_urlsafe(32))
