"""Why a connection to RabbitMQ failed, in words. pika wraps the cause in exceptions of its own, several levels deep;
they are told apart by name here, which needs no import of pika."""

import ssl
from collections.abc import Iterator

_WRONG_NAME = {62, 64}
_EXPIRED = 10
"""OpenSSL's X509_V_ERR codes (x509_vfy.h): host name mismatch, IP address mismatch; expired."""

_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "CERTIFICATE_EXPIRED")
_NO_TLS = ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF", "EOF occurred", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")

_BY_NAME = {
    "AMQPHeartbeatTimeout": "it stopped sending heartbeats",
    "ConnectionBlockedTimeout": "an alarm (memory or disk) has blocked it for too long",
    "IncompatibleProtocolError": (
        "it closed the connection instead of speaking AMQP 0-9-1: check that it is RabbitMQ, and whether it expects "
        "TLS (amqps://, port 5671)"
    ),
}
"""Messages for exceptions of pika that have none of their own, or misleading ones."""

_HUNG_UP_ON_US = (
    "it closed the connection right after the TLS handshake, as a server does that rejects our certificate: check "
    "amqp_tls.certificate and amqp_tls.key, and that it is RabbitMQ"
)
"""With TLS 1.3 a server judges our certificate after our handshake is over (RFC 8446, 4.4.2.4); its alert is lost when
the connection is reset before we have read it."""


def reason_of(error: BaseException, patience: float, *, tls: bool = False) -> str:
    """The reason for people. `patience` is how many seconds were waited for an answer, `tls` whether TLS was used."""
    chain = list(_inside(error))
    for inner in chain:
        if told := _of_tls(inner):
            return told
    names = {type(inner).__name__ for inner in chain} | {kind.__name__ for kind in type(chain[-1]).__mro__}
    if tls and "IncompatibleProtocolError" in names:  # as pika calls the end of a connection before its first answer
        return _HUNG_UP_ON_US
    if "getpeername" in _words(chain[-1]):  # pika's check of a connection that was reset before it looked
        return _BY_NAME["IncompatibleProtocolError"]
    unnamed = f"its host name does not resolve ({_words(chain[-1])})"
    known = _BY_NAME | {"gaierror": unnamed, "UnicodeError": unnamed}
    silent = dict.fromkeys(("AMQPConnectorStackTimeout", "TimeoutError"), f"no answer within {patience:g} s")
    return next((told for name, told in (silent | known).items() if name in names), _words(chain[-1]))


def _inside(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it wraps, outermost first."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        yield error
        wrapped = [*(getattr(error, "exceptions", None) or ()), getattr(error, "exception", None), *error.args]
        error = next((inner for inner in reversed(wrapped) if isinstance(inner, BaseException)), error)


def _of_tls(error: BaseException) -> str:
    words = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return f"its certificate has another name ({error.verify_message}): check the host, or amqp_tls.server_name"
        if error.verify_code == _EXPIRED:
            return "its certificate has expired"
        return f"its certificate is not trusted ({error.verify_message}): set amqp_tls.ca_file to its CA certificate"
    if any(alert in words.upper().replace(" ", "_") for alert in _ALERTS) and "ALERT" in words.upper():
        return "it rejects our certificate: check amqp_tls.certificate and amqp_tls.key"
    if isinstance(error, ssl.SSLError) and any(sign in words for sign in _NO_TLS):
        return "it does not speak TLS on this port; amqps:// usually uses 5671, amqp:// 5672"
    return f"TLS failed ({_words(error)})" if isinstance(error, ssl.SSLError) else ""


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
