"""The hosting servers that the settings name, ready to use."""

from collections.abc import Mapping

from foundation.hosting import Databases, Server
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from foundation.runtime import settings as own
from foundation.runtime.settings import HostingServer, Settings


def servers_of(settings: Settings) -> Mapping[str, Server]:
    """By name. Nothing is contacted yet."""
    return {name: _local(name, server) for name, server in settings.servers.items()}


def _local(name: str, server: HostingServer) -> Server:
    return LocalServer(
        name=name,
        root=server.root,
        address=server.address,
        web_address=server.web_address,
        public_port=server.public_port,
        control_panel_url=server.control_panel_url,
        databases=_databases(server.databases),
        linux_users=server.linux_users,
    )


def _databases(settings: own.Databases | None) -> Databases | None:
    if settings is None:
        return None
    return MariaDatabases(
        socket=settings.socket,
        host=settings.host,
        port=settings.port,
        user=settings.username,
        password=settings.password.get_secret_value(),
    )
