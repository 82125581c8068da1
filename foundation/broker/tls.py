"""TLS to RabbitMQ: which CA to trust, and which certificate to present."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import ConfigurationError


@dataclass(frozen=True)
class Tls:
    """Files in PEM. Without any, the system's CAs are trusted and no certificate is presented."""

    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    """The certificate's private key; it may also be in the certificate's file."""
    server_name: str = ""
    """The name that the broker's certificate must have; default: the host in the address."""

    @property
    def is_wanted(self) -> bool:
        """Whether anything is set."""
        return self != Tls()


def context_of(tls: Tls) -> ssl.SSLContext:
    """The TLS context of a connection; the broker's certificate and name are always verified. Raises
    ConfigurationError, which names the setting whose file is unusable."""
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
            f"amqp_tls.key: {key or certificate} is protected by a passphrase, which nobody can type at start: "
            "store the key without one, readable only by the services' user"
        ) from None
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(_complaint(error, certificate, key)) from None


def _complaint(error: Exception, certificate: Path, key: Path | None) -> str:
    if "KEY_VALUES_MISMATCH" in str(error):
        return f"amqp_tls.key: {key or certificate} does not belong to {certificate}"
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
        raise ConfigurationError(f"amqp_tls.{setting}: cannot read {path}: {error.strerror}") from None


def _no_passphrase() -> str:
    raise ConfigurationError
