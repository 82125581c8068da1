"""Message bodies that are safe to show: shortened, with secrets masked, without terminal control characters."""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from foundation.broker.codec import MAX_DEPTH
from foundation.broker.limits import MAX_BYTES

MASK = "[redacted]"
_LETTERS = 4_000
"""Characters of text that are shown."""
_BYTES = 512
"""Bytes of binary data that are shown."""
_SECRET = re.compile(r"passw|pwd|secret|token|private|credential|authorization|api_?key|sealed", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    r"""("?[\w-]{0,40}(?:passw|pwd|secret|token|private|credential|authorization|api_?key|sealed)[\w-]{0,40}"?\s*[:=]\s*)"""
    r"""("(?:[^"\\]|\\.)*"?|[^\s",;}][^\r\n",;}]*)""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Body:
    """The part of a body that is shown."""

    kind: str
    """`json`, `text` or `hex`."""
    text: str
    size: int
    """Of the whole body, in bytes."""
    cut: bool


def shown(body: bytes) -> Body:
    """The part of a body that is safe to show."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Body("hex", body[:_BYTES].hex(" ", -2), len(body), len(body) > _BYTES)
    kind = "text"
    if len(body) <= MAX_BYTES:
        try:
            text = orjson.dumps(masked(orjson.loads(body)), option=orjson.OPT_INDENT_2).decode()
            kind = "json"
        except orjson.JSONDecodeError:
            pass  # it is shown as text
    cut = text[:_LETTERS]
    safe = cut if kind == "json" else _SECRET_IN_TEXT.sub(rf'\1"{MASK}"', cut)
    return Body(kind, safe, len(body), len(text) > _LETTERS)


def masked(value: Any, depth: int = 0, *, secret: re.Pattern[str] = _SECRET, mask: str | None = MASK) -> Any:
    """JSON content with every value masked whose key looks like a secret's; left out, if there is no `mask`."""
    if depth > MAX_DEPTH:
        return "..."
    deeper = partial(masked, depth=depth + 1, secret=secret, mask=mask)
    if isinstance(value, dict):
        hidden = {key for key in value if secret.search(key)}
        shown = value.keys() if mask is not None else [key for key in value if key not in hidden]
        return {key: mask if key in hidden else deeper(value[key]) for key in shown}
    return [deeper(inner) for inner in value] if isinstance(value, list) else value
