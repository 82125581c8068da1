"""How often a message was parked, and since when: kept in its headers through requeues and further attempts."""

from collections.abc import Mapping

from foundation.broker import Delivery
from foundation.broker.delay import is_detour

FIRST_PARKED_AT = "first-parked-at"
TIMES_PARKED = "times-parked"
_HEADERS = (FIRST_PARKED_AT, TIMES_PARKED)


def setbacks(delivery: Delivery) -> Mapping[str, str | int]:
    """These headers, to be copied. They are trusted only on our own exchanges, as `sender` explains."""
    known = delivery.headers if is_detour(delivery.exchange) else {}
    return {name: value for name in _HEADERS if isinstance(value := known.get(name), str | int)}


def is_setback(header: str) -> bool:
    """Whether a header is one of these, which nobody else may write."""
    return header in _HEADERS
