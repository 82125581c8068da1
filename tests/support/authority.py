"""A certificate authority of the tests' own, made by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates for names and addresses, all below one directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.own = Issued(directory / f"{name}.pem", directory / f"{name}.key")
        self._openssl(name, "basicConstraints=critical,CA:TRUE", issued=self.own)

    @property
    def ca_file(self) -> Path:
        """The CA's certificate file, for those who should trust it."""
        return self.own.certificate

    def issue(self, name: str, *alternatives: str) -> Issued:
        """Issue a certificate for names like `DNS:...` and `IP:...`."""
        issued = Issued(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        names = f"subjectAltName={','.join(alternatives or (f'DNS:{name}',))}"
        by = ("-CA", str(self.own.certificate), "-CAkey", str(self.own.key))
        self._openssl(name, names, *by, issued=issued)
        return issued

    def _openssl(self, name: str, extension: str, *more: str, issued: Issued) -> None:
        command = (
            "openssl",
            "req",
            "-x509",
            "-subj",
            f"/CN={name}",
            "-addext",
            extension,
            *more,
            "-days",
            "2",
            "-nodes",
        )
        made = ("-newkey", "rsa:2048", "-keyout", str(issued.key), "-out", str(issued.certificate))
        subprocess.run((*command, *made), check=True, capture_output=True)
