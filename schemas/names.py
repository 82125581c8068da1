"""Host names, on one path wherever they come from: IDNA 2008, and never silently another name than was sent.

`idna` is the one library here beside pydantic, which needs it for e-mail addresses.
"""

import re
import unicodedata
from functools import lru_cache

import idna

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""Programs take a name that ends like this for an IPv4 address (URL Standard, section 3.5)."""
_EAST = {"LATIN", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
"""Scripts that are written together (UTS 39, section 5.2, "highly restrictive")."""

_NO_NAME = "is not a host name; send it like 'shop.example'"


@lru_cache(maxsize=4096)
def host_name(value: str) -> str:
    """The name in lower-case ASCII. Raises ValueError. Remembered, because the same name comes by with every event of
    its order."""
    name = value.strip().removesuffix(".")
    if not name.isascii():
        name = _in_ascii(name)
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(_NO_NAME)
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("is a number or an IP address, not a host name; send it like 'shop.example'")
    for label in labels:
        if label.startswith("xn--"):
            _refuse_mixture(_decoded(label))
    return name


def _in_ascii(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    try:
        mapped = idna.uts46_remap(composed, std3_rules=True, transitional=False)
        ascii_name = idna.encode(mapped).decode()
    except (idna.IDNAError, UnicodeError):  # their own words repeat the name
        raise ValueError("is no international host name (IDNA 2008)") from None
    if mapped != composed.lower():
        raise ValueError("has letters that stand for others, like full-width ones; send it in ASCII, like 'xn--...'")
    return ascii_name


def _decoded(label: str) -> str:
    try:
        letters = idna.ulabel(label)  # refuses what is not encoded like that
    except (idna.IDNAError, UnicodeError):
        raise ValueError("begins a label with 'xn--' that is no international name (IDNA 2008)") from None
    return letters


def _refuse_mixture(label: str) -> None:
    names = (unicodedata.name(letter, "") for letter in label if unicodedata.category(letter).startswith("L"))
    scripts = {re.split(r"[ -]", name)[0] for name in names} - {"MODIFIER"}
    if len(scripts) > 1 and not scripts <= _EAST:
        raise ValueError(f"mixes letters of several scripts ({', '.join(sorted(scripts)).lower()}) in one label")
