"""Generate passwords that pass common policies, and keep secrets out of messages."""

import json
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

_SAFE = "-_"
"""Symbols that no shell, SQL, PHP, URL, mail program or WordPress changes, quotes or takes for a delimiter."""

_CLASSES = (string.punctuation, string.digits, string.ascii_uppercase, string.ascii_lowercase)
"""The rarest first: most candidates have too few of those."""
_OF_EACH = 2
_TRIES = 16
"""How many candidates are drawn at once: of those with 24 of the usual letters, one in six has two symbols."""

LETTERS = string.ascii_letters + string.digits + _SAFE


def generated(length: int = 24, letters: str = LETTERS) -> str:
    """Generate a random password from these characters (ASCII).

    It has at least two of each class among `letters` (lower case, upper case, digits, symbols), since policies ask for
    one or two, and begins with a letter or digit if possible, so that no program takes it for an option. All such
    passwords are equally likely.
    """
    kind = _kind(length, letters)
    while True:
        drawn = secrets.token_bytes(_TRIES * length).translate(kind.letter_of, kind.beyond)
        for start in range(0, len(drawn) - length + 1, length):
            made = drawn[start : start + length]
            if kind.admits(made):
                return made.decode()


@dataclass(frozen=True)
class _Kind:
    """What passwords of one kind have in common, and how random bytes become characters."""

    letter_of: bytes
    """The character that each of the 256 bytes stands for."""
    beyond: bytes
    """Bytes to discard: with them, some characters would be more likely than others."""
    first: bytes
    classes: list[bytes]
    wanted: int

    def admits(self, made: bytes) -> bool:
        return made[0] in self.first and all(
            len(made) - len(made.translate(None, one)) >= self.wanted for one in self.classes
        )


@cache
def _kind(length: int, letters: str) -> _Kind:
    known = letters.encode("ascii")
    classes = [one.encode() for one in _CLASSES if set(one) & set(letters)]
    enough = length >= 2 * _OF_EACH * len(classes)
    return _Kind(
        letter_of=bytes(known[byte % len(known)] for byte in range(256)),
        beyond=bytes(range(256 - 256 % len(known), 256)),
        first=bytes(letter for letter in known if chr(letter).isalnum()) or known,
        classes=classes,
        wanted=_OF_EACH if enough else int(length >= 2 * len(classes)),
    )


def without(confidential: Iterable[str], text: str) -> str:
    """Replace each secret in the text by `***`, both as it is and as JSON escapes it."""
    for secret in filter(None, confidential):
        for written in (secret, " ".join(secret.split()), json.dumps(secret)[1:-1]):
            text = text.replace(written, "***") if written else text
    return text
