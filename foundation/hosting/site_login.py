"""How a site gets into its database, as PHP would."""

import ssl
from pathlib import Path

from foundation.addresses import HostPort, bare
from foundation.hosting import Database
from foundation.hosting.database_connection import Login

_CONNECT_SECONDS, _READ_SECONDS = 5, 20


def site_login(database: Database) -> Login:
    """The login of a site's own user, for scripts; from this machine, with its CAs where `verify` is asked for."""
    _, socket, path = database.host.partition(":/")
    place = HostPort("localhost", 3306) if socket else HostPort.parse(database.host)
    return Login(
        user=database.username,
        password=database.password,
        socket=Path(f"/{path}") if socket else None,
        place=HostPort(bare(place.host), place.port),
        encryption=_encryption(database.tls),
        connect_seconds=_CONNECT_SECONDS,
        read_seconds=_READ_SECONDS,
        database=database.name,
        scripts=True,
    )


def _encryption(tls: str) -> ssl.SSLContext | bool:
    if tls not in ("require", "verify"):
        return False
    context = ssl.create_default_context()
    if tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
