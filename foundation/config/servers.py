"""Create the hosting servers that the settings name."""

from collections.abc import Mapping
from typing import cast

from foundation.config import plugins
from foundation.config import settings as own
from foundation.config.settings import HostingServer, Settings
from foundation.hosting import Databases, Server, ServerFacts
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from foundation.hosting.web import WebFront

_NEEDED = (
    *("name", "address", "web_address", "control_panel_url", "databases"),
    *("create_account", "home", "temporary_url", "domain_url", "check"),
)


def servers_of(settings: Settings) -> Mapping[str, Server]:
    """Create all servers, by name, without contacting any. Raises ConfigurationError if a driver cannot be loaded."""
    return {name: server_of(settings, name) for name in settings.servers}


def server_of(settings: Settings, name: str) -> Server:
    """Create one server. Raises ConfigurationError that names the setting, and the package if a package is at fault."""
    server = settings.servers[name]
    if server.driver == "local":
        return _local(name, server)
    setting = f"servers.{name}.driver"
    kind = plugins.find(plugins.HOSTING_SERVERS, server.driver, setting, ("local",))
    front = _front(name, server)
    facts = ServerFacts(
        name=name,
        address=server.address,
        web_address=server.web_address,
        public_port=front.port,
        control_panel_url=server.control_panel_url,
        databases=_databases(name, server.databases),
        web=front,
    )
    return cast("Server", plugins.made(kind, _NEEDED, setting, facts, server.options))


def site_url(settings: Settings, server: Server, site_type: str, username: str, domain: str) -> str:
    """Return the URL at which a site of this type answers, by the current settings."""
    if settings.sites[site_type].address == "temporary":
        return server.temporary_url(username)
    return server.domain_url(domain)


def _local(name: str, server: HostingServer) -> Server:
    return LocalServer(
        name=name,
        root=server.root,
        address=server.address,
        web_address=server.web_address,
        public_port=server.public_port,
        front=_front(name, server),
        control_panel_url=server.control_panel_url,
        databases=_databases(name, server.databases),
        linux_users=server.linux_users,
    )


def _front(name: str, server: HostingServer) -> WebFront:
    return WebFront(
        address=server.web_address,
        scheme=server.scheme,
        public_port=server.public_port,
        spoken=server.web_scheme,
        check_certificates=server.web_check_certificates,
        ca_file=server.web_ca_file,
        headers={header: value.get_secret_value() for header, value in server.web_headers.items()},
        setting=f"servers.{name}",
    )


def _databases(name: str, settings: own.Databases | None) -> Databases | None:
    if settings is None:
        return None
    return MariaDatabases(
        socket=settings.socket,
        host=settings.host,
        port=settings.port,
        user=settings.username,
        password=settings.password.get_secret_value(),
        user_host=settings.user_host,
        tls=settings.tls,
        ca_file=settings.ca_file,
        setting=f"servers.{name}.databases",
    )
