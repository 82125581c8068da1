"""How a hosting server's own web server is asked for a site, and what its sites' addresses look like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foundation.addresses import SCHEME_PORTS, url_of

Scheme = Literal["http", "https"]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36 Sitecrew"
"""As a browser names itself, since filters in front of sites refuse what looks like a program."""


@dataclass(frozen=True, kw_only=True)
class WebFront:
    """The web server at `address`, and the addresses that it gives to sites."""

    address: str
    """`host:port` where it is asked, whatever the DNS says of a site's name."""
    scheme: Scheme = "http"
    """Of the sites' URLs."""
    public_port: int | None = None
    """In the sites' URLs; None: the scheme's own."""
    spoken: Scheme | None = None
    """How `address` is spoken to; None: as the sites are. A proxy that ends TLS in front of it makes them differ."""
    check_certificates: bool = True
    ca_file: Path | None = None
    """Whose certificates are trusted; None: those whom the machine trusts."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request: what a filter or a password in front of the sites wants. May be secret."""
    setting: str = "servers.*"
    """Where the settings name this server, for messages."""

    @property
    def port(self) -> int:
        """In the sites' URLs."""
        return self.public_port or SCHEME_PORTS[self.scheme]

    def url(self, host: str, path: str = "/") -> str:
        """A site's URL."""
        return url_of(self.scheme, host, self.port, path)
