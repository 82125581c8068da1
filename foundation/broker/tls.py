"""TLS towards RabbitMQ: which CA to trust, and which certificate to show."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import ConfigurationError


@dataclass(frozen=True)
class Tls:
    """Files in PEM. Without any, the system's CAs are trusted and no certificate is shown."""

    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    """Of the certificate; it may also stand in the certificate's own file."""
    server_name: str = ""
    """Which name the broker's certificate must have; without it, the host in the address."""

    @property
    def is_wanted(self) -> bool:
        """Whether anything is set."""
        return self != Tls()


def context_of(tls: Tls) -> ssl.SSLContext:
    """What a connection is secured with; certificate and name of the broker are always verified. Raises
    ConfigurationError that names the setting whose file is of no use."""
    context = _trusting(tls.ca_file)
    if tls.key and not tls.certificate:
        raise ConfigurationError("amqp_tls.key is set, but amqp_tls.certificate is not")
    if tls.certificate:
        _show(context, tls.certificate, tls.key)
    return context


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    _require_readable("ca_file", ca_file)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, ValueError):
        raise ConfigurationError(f"amqp_tls.ca_file: {ca_file} holds no CA certificate in PEM") from None


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    _require_readable("certificate", certificate)
    _require_readable("key", key)
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ConfigurationError:
        raise ConfigurationError(
            f"amqp_tls.key: {key or certificate} is protected by a passphrase, which nobody could type at start: "
            "store the key without one, readable for the services' user only"
        ) from None
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(_complaint(error, certificate, key)) from None


def _complaint(error: Exception, certificate: Path, key: Path | None) -> str:
    if "KEY_VALUES_MISMATCH" in str(error):
        return f"amqp_tls.key: {key or certificate} is the key of another certificate than {certificate}"
    holds_one = "-----BEGIN CERTIFICATE-----" in certificate.read_text(errors="replace")
    if not holds_one:
        return f"amqp_tls.certificate: {certificate} holds no certificate in PEM"
    return f"amqp_tls.key: {key or certificate} holds no private key in PEM"


def _require_readable(setting: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"amqp_tls.{setting}: {path} can't be read: {error.strerror}") from None


def _no_passphrase() -> str:
    raise ConfigurationError
