"""A finished letter as it travels: its envelope, and the bytes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import getaddresses

from services.mailer import addresses
from services.mailer.causes import CAUSES

_PASSWORD = re.compile(r"^[^:\n]*(?:password|passwort|kennwort)[^:\n]*: *(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Letter:
    """A letter as it travels."""

    sender: str
    recipients: Sequence[str]
    content: bytes
    international: bool
    """It needs SMTPUTF8: a mailbox's own name is beyond ASCII."""
    secrets: Sequence[str]
    """What a filter that quotes the line it dislikes must not bring into our log."""

    @classmethod
    def of(cls, message: EmailMessage) -> "Letter":
        [sender], recipients = _addresses(message, "from"), _addresses(message, "to")
        international = not all(address.isascii() for address in (sender, *recipients))
        content = message.as_bytes(policy=WIRE.clone(utf8=international, refold_source="none"))
        text = message.get_body(("plain",))
        secrets = _PASSWORD.findall(text.get_content()) if text is not None else []
        return cls(sender, recipients, content, international, secrets)


def _addresses(message: EmailMessage, header: str) -> list[str]:
    """From the header as it stands. `message[header].addresses` decodes names first, and takes some names'
    brackets for the address's own (seen on 3.11.7): the letter would go to somebody else."""
    raw = [str(value) for name, value in message.raw_items() if name.lower() == header]
    found = [address for _, address in getaddresses(raw)]
    try:
        return [addresses.with_ascii_domain(address) for address in found] or [addresses.with_ascii_domain("")]
    except ValueError:
        detail = f"the letter's {header.capitalize()} header holds no usable address"
        raise CAUSES.failed("recipient_refused", detail) from None
