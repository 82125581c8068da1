"""The topology and its users in the form that RabbitMQ itself imports."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from foundation.broker.topology import Topology
from foundation.config.rights import NOTHING, USERS


def definitions(topology: Topology, vhost: str, passwords: Mapping[str, str]) -> dict[str, list[Any]]:
    """The topology and its users, as `rabbitmqctl import_definitions` and `load_definitions` read them. `passwords` are
    by user name; who has none cannot log in."""
    place = {"vhost": vhost}
    everybody = USERS.values()
    keys = [(user, exchange, key) for user in everybody for exchange, key in user.topics(topology)]
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": user.name,
                "password_hash": hashed(passwords[user.name]) if user.name in passwords else "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["monitoring"] if user.administers else [],
            }
            for user in everybody
        ],
        "permissions": [{"user": user.name, **place, **user.permissions()} for user in everybody],
        "topic_permissions": [
            {"user": user.name, **place, "exchange": exchange, "write": key, "read": ".*" if user.watches else NOTHING}
            for user, exchange, key in keys
        ],
        "exchanges": [
            {"name": one.name, **place, "type": one.kind, **_lasting(one.arguments), "internal": False}
            for one in topology.exchanges
        ],
        "queues": [{"name": one.name, **place, **_lasting(one.arguments)} for one in topology.queues],
        "bindings": [
            {
                "source": one.source,
                **place,
                "destination": one.target,
                "destination_type": "exchange" if one.to_exchange else "queue",
                "routing_key": one.key,
                "arguments": {},
            }
            for one in topology.bindings
        ],
    }


def as_text(defined: Mapping[str, Sequence[Any]]) -> str:
    """Definitions as JSON, one thing on a line."""
    parts = (f'"{kind}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n]" for kind, rows in defined.items())
    return "{\n" + ",\n".join(parts) + "\n}"


def hashed(password: str) -> str:
    """A password as RabbitMQ keeps it (its documentation, "Credentials and Passwords")."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _lasting(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"durable": True, "auto_delete": False, "arguments": dict(arguments)}
