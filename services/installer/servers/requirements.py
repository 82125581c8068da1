"""What a site type may require before its sites are installed: that their domain leads here, and a certificate."""

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping

from foundation.addresses import HostPort, bare
from foundation.hosting import Server
from schemas.values import AccountRef
from services.installer.causes import INSTALL_CAUSES
from services.installer.sites.verification.verify import front_of
from services.installer.states import WaitingFor

_TIMEOUT = 10.0
"""Seconds for one connection."""

WAITS_FOR: Mapping[str, WaitingFor] = {"dns_missing": WaitingFor.DNS, "tls_missing": WaitingFor.TLS}
"""What an install waits for that was not begun for one of these causes."""


def check(required: Iterable[str], account: AccountRef, server: Server) -> None:
    """Raise `Failed` (dns_missing, tls_missing) unless all that is required is there, for each of the site's names."""
    for name in (account.domain, *(account.aliases or ())):
        for what in required:
            _CHECKS[what](name, server)


def _dns(name: str, server: Server) -> None:
    ours = {address for host in _hosts(server) for address in addresses(host)}
    found = addresses(name)
    if ours.isdisjoint(found):
        leads = f"leads to {', '.join(sorted(found))}" if found else "has no address yet"
        detail = f"{name} {leads}, not to {' or '.join(sorted(ours or _hosts(server)))}"
        raise INSTALL_CAUSES.failed("dns_missing", detail)


def _hosts(server: Server) -> set[str]:
    return {bare(server.address), HostPort.parse(server.web_address).host}


def addresses(host: str) -> set[str]:
    """Return the addresses that a name leads to, as this machine's resolver knows; none if it knows none."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _tls(name: str, server: Server) -> None:
    front = front_of(server)
    is_spoken = (front.spoken or front.scheme) == "https"
    # Behind a proxy that terminates TLS, that one has the certificate.
    there = HostPort.parse(front.address) if is_spoken else HostPort(bare(server.address), 443)
    try:
        context = ssl.create_default_context(cafile=front.ca_file)
        with (
            socket.create_connection(there, timeout=_TIMEOUT) as connection,
            context.wrap_socket(connection, server_hostname=name),
        ):
            return
    except ssl.SSLCertVerificationError as error:
        why = f"has no valid certificate for {name}: {error.verify_message}"
    except OSError as error:
        why = f"does not speak TLS: {error.strerror or error}"
    raise INSTALL_CAUSES.failed("tls_missing", f"{there} {why}")


_CHECKS: Mapping[str, Callable[[str, Server], None]] = {"dns": _dns, "tls": _tls}
