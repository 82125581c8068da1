"""From an address to what pika connects by."""

import pika

from foundation.broker.address import options_of
from foundation.broker.tls import Tls, context_of
from foundation.errors import ConfigurationError

_HEARTBEAT, _BLOCKED = 30, 300
"""Seconds. After so long without a sign of life, or blocked by an alarm, a connection is given up."""


def parameters(url: str, name: str, patience: float, tls: Tls) -> pika.URLParameters:
    """What the address says after its `?` wins over what we would choose."""
    said = options_of(url)
    if unknown := [option for option in said if not hasattr(pika.URLParameters, f"_set_url_{option}")]:
        raise ConfigurationError(
            f"amqp_url: {unknown[0]!r} after the ? is unknown; heartbeat and blocked_connection_timeout, in seconds, "
            "are known. For TLS there are the settings amqp_tls.*"
        )
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, AttributeError, LookupError, SyntaxError):
        raise ConfigurationError("amqp_url: what it says after the ? can't be read") from None
    chosen = {
        "heartbeat": _HEARTBEAT,
        "blocked_connection_timeout": _BLOCKED,
        "socket_timeout": patience,
        "stack_timeout": patience,
        "connection_attempts": 1,
    }
    for option, value in chosen.items():
        if option not in said:
            setattr(parameters, option, value)
    parameters.client_properties = {"connection_name": name}
    _secure(parameters, tls, own_way="ssl_options" in said)
    return parameters


def _secure(parameters: pika.URLParameters, tls: Tls, *, own_way: bool) -> None:
    if parameters.ssl_options is None and tls.is_wanted:
        raise ConfigurationError("amqp_tls is set, but amqp_url begins with amqp://: write amqps://, usually port 5671")
    if parameters.ssl_options is not None and not own_way:
        parameters.ssl_options = pika.SSLOptions(context_of(tls), tls.server_name or parameters.host)
