"""Domains that cannot be ordered: reserved names, the host's own, and those around another customer's."""

import re
from collections.abc import Iterator
from email.utils import parseaddr
from urllib.parse import urlsplit

from foundation.addresses import HostPort
from foundation.config.settings import Settings
from schemas.names import host_name
from schemas.orders import OrderPlaced
from services.order_intake.rows import OrderRows

_NOT_PUBLIC = ("local", "localdomain", "localhost", "internal", "invalid", "onion", "alt", "arpa")
"""Top-level names that will never be in the public DNS (RFC 6761, RFC 6762, RFC 7686, RFC 9476; ICANN's `internal`)."""
_LOCALHOST = re.compile(r"localhost[0-9]*(-[0-9a-z]+)?")


class Names:
    """The rules, with the names that the settings reserve."""

    def __init__(self, settings: Settings) -> None:
        self._reserved = {_reserved(name) for name in settings.domains.reserved}
        self._own = set(_own(settings))
        self._nested = settings.domains.allow_nested

    def objection(self, domain: str) -> str:
        """Return why nobody can order the domain; empty if somebody can."""
        labels = domain.split(".")
        if labels[-1] in _NOT_PUBLIC or _LOCALHOST.fullmatch(labels[0]) or _LOCALHOST.fullmatch(labels[-1]):
            return "is a name that does not exist in the public DNS"
        above = {".".join(labels[number:]) for number in range(len(labels))}
        own = {domain, domain.removeprefix("www.")} if self._nested else above
        if above & self._reserved or own & self._own:
            return "is reserved, or below a name that is"
        return ""

    def is_anothers(self, rows: OrderRows, placed: OrderPlaced) -> bool:
        """Whether the order's domain is below or above one that another customer holds."""
        if self._nested:
            return False
        email = placed.customer.email.casefold()
        return any(customer.email.casefold() != email for customer in rows.customers_around(placed.domain))


def _reserved(name: str) -> str:
    """As orders have it; also a whole top-level domain, and `*.acme.example`."""
    bare = name.strip().lower().removeprefix("*").strip(".")
    return next(_name(bare), bare)


def _own(settings: Settings) -> Iterator[str]:
    """The names that the host itself goes by, as far as the settings tell."""
    yield from _name(parseaddr(settings.mailer.sender)[1].rpartition("@")[2])
    for name in (*settings.mailer.nameservers, settings.mailer.smtp.host):
        yield from _name(name)
    for server in settings.servers.values():
        yield from _name(server.address)
        yield from _name(HostPort.parse(server.web_address).host)
        yield from _name(urlsplit(server.control_panel_url or "").hostname or "")


def _name(host: str) -> Iterator[str]:
    try:
        yield host_name(host)
    except ValueError:  # an address, or `localhost`
        return
