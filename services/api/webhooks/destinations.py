"""Which addresses webhooks may be posted to. An admin's URL must not make us talk to what only we can reach."""

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from foundation.addresses import SCHEME_PORTS
from foundation.errors import SitecrewError

_SERVICES_OF_CLOUDS = (ip_network("168.63.129.16/32"),)
"""Public addresses at which a cloud answers its own machines only (Azure). Other clouds' are private anyway."""
_HOST = re.compile(r"[a-z0-9._:%-]+")
_NAT64 = ip_network("64:ff9b::/96")


class ForbiddenAddress(SitecrewError):
    """A URL leads to where webhooks may not go, or nowhere."""


def parsed(url: str, *, to_private: bool) -> SplitResult:
    """Return the parts of a URL that webhooks may be posted to, as far as the URL itself tells. Raises
    ForbiddenAddress."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ForbiddenAddress("the URL is not valid; expected https://host/path") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    host = parts.hostname or ""
    if parts.scheme not in SCHEME_PORTS or not _HOST.fullmatch(host) or port == 0 or not is_plain:
        raise ForbiddenAddress("the URL is not valid; expected https://host/path")
    if parts.username is not None or parts.fragment:
        raise ForbiddenAddress("the URL must not contain a user name, a password or a fragment (#)")
    if parts.scheme != "https" and not to_private:
        raise ForbiddenAddress("the URL must begin with https://, unless api.webhooks_to_private is on")
    try:
        literal = ip_address(host)
    except ValueError:
        return parts
    _check(literal, to_private)
    return parts


def resolved(url: SplitResult, *, to_private: bool) -> Sequence[str]:
    """Return the addresses of a URL's host. Raises ForbiddenAddress if there are none, or if webhooks may not go to any
    one of them."""
    host, port = url.hostname or "", url.port or SCHEME_PORTS[url.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ForbiddenAddress(f"{host} has no address") from None
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    for address in addresses:
        _check(ip_address(address), to_private)
    return addresses


def _check(address: IPv4Address | IPv6Address, to_private: bool) -> None:
    if not to_private and not _is_public(address):
        raise ForbiddenAddress(
            f"{address} is a loopback, private or reserved address; webhooks go there only if"
            " api.webhooks_to_private is on"
        )


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if address.teredo or address.scope_id:
            return False
    is_of_cloud = any(address in network for network in _SERVICES_OF_CLOUDS)
    return address.is_global and not address.is_multicast and not is_of_cloud
