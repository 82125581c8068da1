"""Turns an address into pika's connection parameters."""

import pika

from foundation.broker.address import options_of
from foundation.broker.tls import Tls, context_of
from foundation.errors import ConfigurationError

_HEARTBEAT, _BLOCKED = 30, 300
"""Seconds without a heartbeat, or blocked by an alarm, after which a connection is dropped."""


def parameters(url: str, name: str, patience: float, tls: Tls) -> pika.URLParameters:
    """Query parameters of the address take precedence over our defaults."""
    said = options_of(url)
    if unknown := [option for option in said if not hasattr(pika.URLParameters, f"_set_url_{option}")]:
        raise ConfigurationError(
            f"amqp_url: unknown parameter {unknown[0]!r} after the ?; expected heartbeat or "
            "blocked_connection_timeout, in seconds. TLS is configured with the settings amqp_tls.*"
        )
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, AttributeError, LookupError, SyntaxError):
        raise ConfigurationError(
            "amqp_url: its parameters after the ? are not valid; expected for example ?heartbeat=30"
        ) from None
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
