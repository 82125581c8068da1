"""Media types as senders write them: in any case, with parameters, with or without spaces (RFC 9110, section 8.3)."""

import codecs
from email.message import Message
from functools import lru_cache
from typing import NamedTuple

_UTF_8 = ("utf-8", "utf-8-sig", "ascii")
"""ASCII is UTF-8 as well."""
_LONGEST = 255
"""Bytes of a short string (AMQP 0-9-1, 4.2.5.3)."""


class MediaType(NamedTuple):
    name: str
    """In lower case: `application/json`. Empty if it is none."""
    charset: str
    """As it was written; empty if it was not."""

    @property
    def is_utf8(self) -> bool:
        """Whether what is written so can be read as UTF-8. JSON always can (RFC 8259, section 8.1)."""
        try:
            return not self.charset or codecs.lookup(self.charset).name in _UTF_8
        except (LookupError, ValueError):
            return False


def media_type(text: str) -> MediaType:
    """What a sender wrote, as far as AMQP lets it be long."""
    return _parsed(text[:_LONGEST])


@lru_cache(maxsize=256)
def _parsed(text: str) -> MediaType:
    """Remembered: most senders write the same with every message."""
    header = Message()
    header["content-type"] = "".join(letter if letter.isprintable() else "?" for letter in text)
    charset = header.get_param("charset", "")
    name = text.partition(";")[0].strip().lower()
    return MediaType(name, (charset if isinstance(charset, str) else charset[-1] or "").strip())
