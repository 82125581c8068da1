"""A password's hash as WordPress has stored it since 2.5, and still accepts: salted MD5, repeated ("portable" phpass).

WordPress makes a newer one of it at the first login, where it has one. What it opens is a password of ours with 119
bits or more, which no repetition needs to protect.
"""

import hashlib
import secrets

_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 13  # as a power of two; as WordPress has it


def portable_hash(password: str) -> str:
    """A new hash of a password, with a salt of its own."""
    salt = "".join(secrets.choice(_LETTERS) for _ in range(8))
    word = password.encode()
    digest = hashlib.md5(salt.encode() + word).digest()  # noqa: S324 - what WordPress reads
    for _ in range(1 << _ROUNDS):
        digest = hashlib.md5(digest + word).digest()  # noqa: S324
    return f"$P${_LETTERS[_ROUNDS]}{salt}{_encoded(digest)}"


def _encoded(digest: bytes) -> str:
    """Six bits a letter, the lowest of each three bytes first."""
    letters = []
    for index in range(0, len(digest), 3):
        three = digest[index : index + 3]
        number = int.from_bytes(three, "little")
        letters += [_LETTERS[number >> 6 * place & 63] for place in range(-(len(three) * -8 // 6))]
    return "".join(letters)
