"""Certificates for servers of our own, made by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemons import require


@dataclass(frozen=True)
class Certificate:
    """One server's, and the authority that vouches for it."""

    ca: Path
    chain: Path
    key: Path


def certificate(directory: Path, *names: str) -> Certificate:
    """For these names and addresses, the first of which is its subject."""
    require("openssl")
    subject = names[0]
    alternative = ",".join(f"IP:{name}" if name[0].isdigit() or ":" in name else f"DNS:{name}" for name in names)
    (directory / "extensions").write_text(f"subjectAltName={alternative}\n")
    ca, key, chain = directory / "ca.pem", directory / "key.pem", directory / "chain.pem"
    _openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", ca.name)
    _openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key.name, "-out", "csr", subject=subject)
    signing = ("-CA", ca.name, "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions", "-out", chain.name)
    _openssl(directory, "x509", "-req", "-in", "csr", "-days", "30", *signing, subject=None)
    return Certificate(ca, chain, key)


def _openssl(directory: Path, *arguments: str, subject: str | None = "Our test authority") -> None:
    named = () if subject is None else ("-subj", f"/CN={subject}")
    subprocess.run(("openssl", *arguments, *named), cwd=directory, check=True, capture_output=True)
