"""How a hosting server's own web server is asked for a site, and what its sites' URLs look like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foundation.addresses import SCHEME_PORTS, url_of

Scheme = Literal["http", "https"]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36 Sitecrew"
"""A browser's User-Agent, because filters in front of sites reject what looks like a program."""


@dataclass(frozen=True, kw_only=True)
class WebFront:
    """The web server at `address`, and the URLs that it serves sites at."""

    address: str
    """`host:port` to connect to, whatever the DNS says about a site's name."""
    scheme: Scheme = "http"
    """The scheme of the sites' URLs."""
    public_port: int | None = None
    """The port in the sites' URLs; None: the scheme's default."""
    spoken: Scheme | None = None
    """The scheme to use at `address`; None: the sites'. They differ behind a proxy that terminates TLS."""
    check_certificates: bool = True
    ca_file: Path | None = None
    """The CA file to trust; None: the machine's CAs."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request, for filters or logins in front of the sites. May be secret."""
    setting: str = "servers.*"
    """The settings' section for this server, for messages."""

    @property
    def port(self) -> int:
        """The port in the sites' URLs."""
        return self.public_port or SCHEME_PORTS[self.scheme]

    def url(self, host: str, path: str = "/") -> str:
        """A site's URL."""
        return url_of(self.scheme, host, self.port, path)
