"""Create certificates for our own servers, issued by the tests' own CA."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.authority import Authority
from tests.support.daemons import require


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, and the CA that issued it."""

    ca: Path
    chain: Path
    key: Path


def certificate(directory: Path, *names: str) -> Certificate:
    """Issue a certificate for these names and addresses; the first is its subject."""
    require("openssl")
    authority = Authority(directory)
    alternatives = (f"IP:{name}" if name[0].isdigit() or ":" in name else f"DNS:{name}" for name in names)
    issued = authority.issue(names[0], *alternatives)
    return Certificate(authority.ca_file, issued.certificate, issued.key)
