"""The settings of a stack on one machine: everything is private, below its directory and on loopback ports.

They are written to `sitecrew.toml` there. Its ports are kept from run to run, because sites and emails contain them.
"""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.config.keys import generate_keys
from foundation.config.settings import chosen
from foundation.config.sources import readable_text
from foundation.errors import Refused
from sitecrew.stack.ports import free_port, port_taken
from sitecrew.stack.private_file import write_private
from sitecrew.stack.servers.mariadb import PrivateMariaDB

HOST = "127.0.0.1"
SERVICES = ("order_intake", "installer", "mailer", "api")
HONOURED = (
    *("amqp_url", "amqp_tls.*", "amqp_timeout_seconds", "timer.*", "sites.*", "log.level"),
    *("installer.concurrency", "installer.max_attempts", "installer.timeout_seconds", "installer.lease_seconds"),
    *("installer.retry_first_seconds", "installer.retry_longest_seconds"),
)
"""The settings that a stack takes from the environment. All others are private, whatever is exported: trying Sitecrew
must not write to other databases or roots, nor send mail through other servers."""

_FREED_SECONDS = 3.0
"""Seconds that the ports of a run that has just ended may still be in use."""


@dataclass(frozen=True)
class Ports:
    """Loopback ports, one for each thing that listens."""

    web: int
    mail: int
    broker: int
    order_intake: int
    installer: int
    mailer: int
    api: int
    console: int


def exported() -> tuple[dict[str, Any], list[str]]:
    """The environment's settings that a stack honours, by dotted name, and the variables that it ignores."""
    names_broker = bool(chosen(["amqp_url"])[0])
    return chosen([name for name in HONOURED if names_broker or name != "amqp_tls.*"])  # a private one speaks no TLS


def ports_of(directory: Path, own_broker: bool = True) -> Ports:
    """The ports of earlier runs in this directory, and free ones for the rest. Raises Refused if one is taken."""
    config = directory / "sitecrew.toml"
    before = _numbers(config)
    if own_broker:
        before |= _first_number(directory / "rabbitmq" / "rabbitmq.conf", "broker", r"listeners\.tcp\.1 = .*:(\d+)")
    for name, port in before.items():
        _require_free(port, name, config)
    return Ports(**{name: before.get(name) or free_port() for name in Ports.__dataclass_fields__})


def local_settings(directory: Path, hosting: Path, ports: Ports, database: PrivateMariaDB | None) -> dict[str, Any]:
    """The settings of a stack, by dotted name."""
    settings: dict[str, Any] = {
        "servers.local.root": str(hosting),
        "servers.local.address": HOST,
        "servers.local.web_address": f"{HOST}:{ports.web}",
        "servers.local.public_port": ports.web,
        "mailer.smtp.host": HOST,
        "mailer.smtp.port": ports.mail,
        "mailer.sender": "Example Hosting <welcome@hosting.example>",
        "mailer.brand": "Example Hosting",
        "installer.wordpress_isolated": True,
        "installer.archives": str(directory / "archives"),
        "installer.images": str(directory / "images"),
        "timer.jitter_seconds": 0,
        "api.address": f"{HOST}:{ports.console}",
        "sites.wordpress.address": "temporary",
        "sites.static.address": "temporary",
    }
    for service in SERVICES:
        settings[f"{service}.store_url"] = f"sqlite:///{directory / service}.db"
        settings[f"{service}.listen"] = f"{HOST}:{getattr(ports, service)}"
    if database:
        settings["servers.local.databases.socket"] = str(database.socket)
        settings["servers.local.databases.username"] = database.admin_user
    return settings


def write(directory: Path, settings: Mapping[str, Any]) -> Path:
    """Write the settings file, and the keys if there are none; each secret one goes in a file of its own."""
    private_file, config = directory / "mailer.key", directory / "sitecrew.toml"
    public_file, api_file = directory / "mailer.pub", directory / "api.key"
    if not api_file.exists():
        write_private(api_file, secrets.token_urlsafe(32))
    if not private_file.exists():
        public, private = generate_keys()
        write_private(private_file, private)
        public_file.write_text(public)
    merged = {"keys.public": public_file.read_text(), **settings}
    # JSON strings, numbers, booleans and lists are valid TOML.
    write_private(config, "".join(f"{name} = {json.dumps(value)}\n" for name, value in merged.items()))
    return config


def _numbers(config: Path) -> dict[str, int]:
    places = {"web": "servers.local.public_port", "mail": "mailer.smtp.port", "console": "api.address"}
    places |= {service: f"{service}.listen" for service in SERVICES}
    found: dict[str, int] = {}
    for name, place in places.items():
        found |= _first_number(config, name, rf"{re.escape(place)} = .*?(\d+)\"?$")
    return found


def _first_number(file: Path, name: str, pattern: str) -> dict[str, int]:
    match = re.search(pattern, readable_text(file), re.MULTILINE) if file.is_file() else None
    return {name: int(match[1])} if match else {}


def _require_free(port: int, name: str, config: Path) -> None:
    deadline = time.monotonic() + _FREED_SECONDS
    while port_taken(HOST, port):
        if time.monotonic() > deadline:
            what = {"web": "web server", "mail": "mailbox"}.get(name, name.replace("_", " "))
            raise Refused(
                f"port {port} on {HOST}, used before by the {what} of {config.parent}, is taken by another program: "
                f"stop that, or delete {config} to get other ports (existing sites and emails keep the old ones)"
            )
        time.sleep(0.05)  # there is no event for a port becoming free
