"""A finished letter: its envelope, and the bytes that travel."""

import email
import hashlib
from binascii import b2a_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as modern

_LONGEST_LINE = 998
"""Bytes, without the line's end (RFC 5322, section 2.1.1)."""


@dataclass(frozen=True)
class Letter:
    """A letter as it travels. Its addresses have their domains in ASCII."""

    sender: str
    recipients: Sequence[str]
    message_id: str
    content: bytes = field(repr=False)
    """The whole message; its lines end in CRLF."""
    secrets: Sequence[str] = field(default=(), repr=False)
    """What a filter that quotes the line it dislikes must not bring into our log."""

    @property
    def international(self) -> bool:
        """It needs SMTPUTF8: a mailbox's own name is beyond ASCII."""
        return not all(address.isascii() for address in (self.sender, *self.recipients))

    def message(self) -> EmailMessage:
        """As a mail program reads it."""
        return email.message_from_string(self.content.decode().replace("\r\n", "\n"), policy=modern)


def content(headers: Mapping[str, str], text: str, html: str | None) -> bytes:
    """The message of these headers, which are folded and encoded already, and of a text with or without an HTML
    alternative.

    Put together here: `EmailMessage` parses every header that it is given, and costs ten times as much.
    """
    body = _part("plain", text)
    if html is not None:
        parts = (body, _part("html", html))
        boundary = b"=_" + hashlib.sha256(b"\0".join(parts)).hexdigest()[:40].encode()
        bodies = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
        opening = b'Content-Type: multipart/alternative;\r\n boundary="%b"' % boundary
        body = b"%b\r\n\r\n%b--%b--\r\n" % (opening, bodies, boundary)
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + body


def _part(subtype: str, text: str) -> bytes:
    """With headers of its own, and as readable as every server accepts."""
    lines = text.encode().splitlines()
    body = b"\r\n".join([*lines, b""])
    readable = body.isascii() and max(map(len, lines), default=0) <= _LONGEST_LINE
    encoding = b"7bit" if readable else b"quoted-printable"
    headers = b'Content-Type: text/%b; charset="utf-8"\r\nContent-Transfer-Encoding: %b' % (subtype.encode(), encoding)
    return b"%b\r\n\r\n%b" % (headers, body if readable else b2a_qp(body))
