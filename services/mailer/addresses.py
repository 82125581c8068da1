"""Mail addresses and the names of machines, in the form in which they travel."""

import re
import socket
from email.utils import parseaddr
from functools import cache

from foundation.addresses import ascii_domain
from foundation.errors import ConfigurationError

_ADDRESS = re.compile(r"""[^\s<>()\[\],;:\\"@]{1,64}@[^\s<>()\[\],;:\\"@]{1,255}""")
_FULL_NAME = re.compile(r"([a-z0-9-]{1,63}\.)+[a-z][a-z0-9-]{1,62}", re.IGNORECASE)


def with_ascii_domain(address: str) -> str:
    """The address with its domain in ASCII; what is before the @ stays. Raises ValueError if it is none."""
    local, _, domain = address.rpartition("@")
    if not _ADDRESS.fullmatch(address):
        raise ValueError("is not an email address")
    return f"{local}@{ascii_domain(domain)}"


def sender_of(setting: str) -> tuple[str, str]:
    """Name and address of `mailer.sender`, its domain in ASCII. Raises ConfigurationError."""
    name, address = parseaddr(setting)
    try:
        converted = with_ascii_domain(address)
    except ValueError:
        converted = ""
    if not converted or not converted.isascii():
        raise ConfigurationError(
            "mailer.sender is not an address that every mail server accepts: write it like 'Name <mail@host.example>',"
            " in ASCII letters before the @"
        )
    return name, converted


def domain_of(address: str) -> str:
    """What is behind the @; empty if there is none."""
    return address.rpartition("@")[2]


def greeting(domain: str) -> str:
    """The name to greet a mail server with: this machine's full name if it has one, else the domain that letters
    are sent from. Never an address in brackets: many servers refuse those."""
    name = _own_name()
    return name if _FULL_NAME.fullmatch(name) and not name.endswith((".localdomain", ".local")) else domain or name


@cache
def _own_name() -> str:
    """Looked up once: it asks the DNS each time."""
    return socket.getfqdn()
