"""What MariaDB's and MySQL's error numbers mean, and whose login is at fault: Sitecrew's or the site's."""

from foundation.errors import Failed
from foundation.hosting.causes import failed

_CODES = {
    "db_down": (1053, 1205, 1213, 1927, 2002, 2003, 2006, 2012, 2013, 2055),
    "db_busy": (1040, 1203, 1226),
    "db_auth": (1045, 1251, 1524, 1698, 1820, 1862, 2059, 2061, 3118, 4151),
    "db_blocked": (1129, 1130),
    "db_denied": (1044, 1142, 1143, 1227, 1370, 1410),
    "db_read_only": (1290, 1836),
    "db_full": (1021, 1041, 1114),
    "db_policy": (1372, 1819, 1827),
    "db_name": (1059, 1102, 1470),
    "db_tls": (2026, 3159),
}
_BY_NUMBER = {number: code for code, numbers in _CODES.items() for number in numbers}

_FULL = ("errno: 28", "Errcode: 28", "No space left", "errno: 135", "Errcode: 135", "errno: 122", "Disk quota exceeded")
_TLS = ("CERTIFICATE_VERIFY_FAILED", "[SSL", "using SSL", "insecure transport", "'cryptography' package")
"""In messages of connections that failed for lack of TLS, whatever their number."""

REFUSED = frozenset((*_CODES["db_auth"], 1044, 1130))
"""Numbers for a rejected login."""


SECRET = frozenset((1044, 1142, 1143, 1146))
"""Numbers for a table that we cannot read, or that does not exist."""


def failure(number: int, message: str, what: str) -> Failed:
    """The error for a number that Sitecrew's own user received; `what` starts the detail.

    The server's words are repeated only for numbers known to quote no statement: a syntax error
    quotes a piece of it, which could be a password. MariaDB says 1005 with errno 135 when its disk is full.
    """
    code = _code(number, message)
    return failed(code, f"{what}: error {number}" if code == "db_error" else f"{what}: {number}: {message}")


def site_failure(number: int, message: str, what: str) -> Failed:
    """The error for a number that a site's own user received: a rejected login is then not Sitecrew's."""
    if number in REFUSED and _code(number, message) != "db_tls":
        return failed("db_site_refused", f"{what}: {number}: {message}")
    return failure(number, message, what)


def _code(number: int, message: str) -> str:
    if any(sign in message for sign in _FULL):
        return "db_full"
    if any(sign in message for sign in _TLS):
        return "db_tls"
    return _BY_NUMBER.get(number, "db_error")
