"""Parse and format hosts and ports. This is the only module that does, so that all address families work."""

import socket
from typing import NamedTuple

import idna

SCHEME_PORTS = {"http": 80, "https": 443}


class HostPort(NamedTuple):
    """A host, without brackets, and a port. Its text, as in settings and messages, has brackets around IPv6."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Parse `host:port`. Raises ValueError, saying how to write it."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if "/" in text:
            raise ValueError("is not host:port: leave out the scheme and the path, as in 192.0.2.7:80")
        if ":" in text and not bracketed and _is_ipv6(text.strip("[]")):
            raise ValueError(f"needs a port, and brackets around the address: [{text.strip('[]')}]:80")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
            raise ValueError("is not host:port, such as web1.example:80, 192.0.2.7:80 or [2001:db8::7]:80")
        if bracketed != (":" in host) or not bare(host):
            raise ValueError("is not host:port: put brackets around an IPv6 address, and only there: [2001:db8::7]:80")
        return cls(bare(host), int(port))

    @property
    def family(self) -> socket.AddressFamily:
        """The family of a socket that listens there."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """Return a host as it is written before a colon: an IPv6 address in brackets."""
    return f"[{bare(host)}]" if ":" in host else host


def bare(host: str) -> str:
    """Return a host as a socket takes it: an IPv6 address without brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def host_only(text: str) -> str:
    """Return a host without brackets. Raises ValueError if there is anything else, saying what to leave out."""
    host = bare(text.strip())
    if not host or "/" in host or (":" in host and not _is_ipv6(host)):
        raise ValueError("is not a host: leave out the scheme, the port and the path")
    return host


def ascii_domain(domain: str) -> str:
    """Encode a domain by IDNA 2008 (IDNA 2003 would turn faß.example into fass.example). Raises ValueError."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()


def url_of(scheme: str, host: str, port: int, path: str = "/") -> str:
    """Return a URL; the scheme's default port is left out, as browsers and applications do."""
    place = bracketed(host) if port == SCHEME_PORTS.get(scheme) else str(HostPort(bare(host), port))
    return f"{scheme}://{place}{path}"


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except OSError:
        return False
    return True
