"""Passwords that Sitecrew makes up, so that every one passes the usual policies; and secrets kept out of messages."""

import json
import secrets
import string
from collections.abc import Iterable

_SAFE = "-_"
"""Symbols that no shell, SQL, PHP, URL, mail program or WordPress changes, quotes or takes for the end."""

_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation)
_OF_EACH = 2

LETTERS = string.ascii_letters + string.digits + _SAFE


def generated(length: int = 24, letters: str = LETTERS) -> str:
    """A random password of these letters, with at least two of each class that is among them: small, capital, digit,
    symbol. Policies ask for one, some for two. It begins with a letter or digit where that is possible, so that no
    program takes it for an option."""
    present = [found for one in _CLASSES if (found := [letter for letter in letters if letter in one])]
    wanted = _OF_EACH if length >= 2 * _OF_EACH * len(present) else int(length >= 2 * len(present))
    first = [letter for letter in letters if letter.isalnum()] or list(letters)
    while True:
        made = secrets.choice(first) + "".join(secrets.choice(letters) for _ in range(length - 1))
        if all(sum(letter in one for letter in made) >= wanted for one in present):
            return made


def without(confidential: Iterable[str], text: str) -> str:
    """The text with each secret struck out, as it is and as JSON writes it."""
    for secret in filter(None, confidential):
        for written in (secret, " ".join(secret.split()), json.dumps(secret)[1:-1]):
            text = text.replace(written, "***") if written else text
    return text
