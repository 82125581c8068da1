"""Validate host names from all sources: IDNA 2008, and never silently a different name than the one that was sent.

`idna` is the only library here besides pydantic, which needs it for email addresses.
"""

import re
import unicodedata
from functools import lru_cache

import idna

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""Programs take a name whose last label looks like this for an IPv4 address (URL Standard, section 3.5)."""
_EAST = {"LATIN", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
"""Scripts that may be mixed in one label (UTS 39, section 5.2, "highly restrictive")."""

_NO_NAME = "is not a host name; expected one like 'shop.example'"


@lru_cache(maxsize=4096)
def host_name(value: str) -> str:
    """Return the name in lower-case ASCII. Raises ValueError. Cached, because each event of an order has the same
    name."""
    name = value.strip().removesuffix(".")
    if not name.isascii():
        name = _in_ascii(name)
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(_NO_NAME)
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("is a number or an IP address, not a host name; expected one like 'shop.example'")
    for label in labels:
        if label.startswith("xn--"):
            _reject_mixed_scripts(_decoded(label))
    return name


def _in_ascii(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    try:
        mapped = idna.uts46_remap(composed, std3_rules=True, transitional=False)
        ascii_name = idna.encode(mapped).decode()
    except (idna.IDNAError, UnicodeError):  # their own messages repeat the name
        raise ValueError("is not a valid internationalized host name (IDNA 2008)") from None
    if mapped != composed.lower():
        raise ValueError("has letters that stand for others, like full-width ones; send it in ASCII, like 'xn--...'")
    return ascii_name


def _decoded(label: str) -> str:
    try:
        letters = idna.ulabel(label)  # raises unless the label is correctly encoded
    except (idna.IDNAError, UnicodeError):
        raise ValueError("has a label beginning with 'xn--' that is not valid (IDNA 2008)") from None
    return letters


def _reject_mixed_scripts(label: str) -> None:
    names = (unicodedata.name(letter, "") for letter in label if unicodedata.category(letter).startswith("L"))
    scripts = {re.split(r"[ -]", name)[0] for name in names} - {"MODIFIER"}
    if len(scripts) > 1 and not scripts <= _EAST:
        raise ValueError(f"mixes letters of several scripts ({', '.join(sorted(scripts)).lower()}) in one label")
