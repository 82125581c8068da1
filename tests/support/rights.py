"""The users of `foundation/config/rights.py`, on a real node and in memory."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote, urlsplit

import httpx2

from foundation.broker import Confirmation, Message, Publisher
from foundation.broker.delay import Ladder
from foundation.broker.topology import Topology
from foundation.config.definitions import definitions
from foundation.config.queues import with_api
from foundation.config.rights import USERS, User
from tests.support.brokers import MANAGEMENT, Node
from tests.support.containers import management_port

VHOST = "sitecrew"
TOPOLOGY = with_api(Ladder())
PASSWORDS = {user.name: f"of-a-test-{user.name}" for user in USERS.values()}


@dataclass(frozen=True)
class Administered:
    """A virtual host with the topology and its users, and RabbitMQ's HTTP API as the broker's own administrator."""

    node: Node
    api: httpx2.Client

    def url(self, who: str) -> str:
        name = USERS[who].name
        return f"amqp://{name}:{PASSWORDS[name]}@127.0.0.1:{urlsplit(self.node.amqp_url).port or 5672}/{VHOST}"

    def restore(self) -> None:
        """Import the definitions, as whoever operates the broker does."""
        self.api.post("/definitions", json=definitions(TOPOLOGY, VHOST, PASSWORDS)).raise_for_status()

    def delete(self, path: str = "") -> None:
        """Delete the virtual host, or a part of it (`queues`, name)."""
        self.api.delete(path or f"/vhosts/{VHOST}").raise_for_status()


def administered(node: Node) -> Administered:
    """Make the virtual host and the users. Close its `api` in the end."""
    node.ctl("await_startup")
    own = urlsplit(node.amqp_url)
    url = f"http://127.0.0.1:{node.plugin_ports[MANAGEMENT]}/api"
    made = Administered(node, httpx2.Client(base_url=url, auth=(own.username or "", own.password or ""), timeout=60))
    made.restore()
    return made


def logins(url: str) -> dict[str, str]:
    """The URL of a container's virtual host for each of the users, who are made there."""
    own = urlsplit(url)
    port, path = own.port or 5672, own.path
    base = f"http://127.0.0.1:{management_port(port)}/api"
    with httpx2.Client(base_url=base, auth=(own.username or "", own.password or ""), timeout=60) as api:
        api.post("/definitions", json=definitions(TOPOLOGY, unquote(path[1:]), PASSWORDS)).raise_for_status()
    return {name: f"amqp://{user.name}:{PASSWORDS[user.name]}@127.0.0.1:{port}{path}" for name, user in USERS.items()}


class Rules:
    """A user's permissions, decided as RabbitMQ decides."""

    def __init__(self, user: User, topology: Topology = TOPOLOGY) -> None:
        self._user = user
        self._topology = topology
        self._seen: dict[tuple[str, str], bool] = {}

    def allow(self, permission: str, name: str) -> bool:
        return bool(re.search(self._user.permissions()[permission], name))

    def allow_publishing(self, exchange: str, key: str) -> bool:
        known = self._seen.get((exchange, key))
        if known is None:
            limited = re.search(self._topics.get(exchange, ""), key)
            known = self._seen[exchange, key] = self.allow("write", exchange) and bool(limited)
        return known

    @cached_property
    def _topics(self) -> Mapping[str, str]:
        return dict(self._user.topics(self._topology))


class Vetted:
    """A publisher that a service's user may use for nothing else than what its permissions allow."""

    def __init__(self, publisher: Publisher, who: str) -> None:
        self._publisher = publisher
        self._who = who
        self._rules = Rules(USERS[who])

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        for message in messages:
            place = message.exchange, message.routing_key
            assert self._rules.allow_publishing(*place), f"{self._who} may not publish {place}: config/rights.py"
        return self._publisher.publish(messages, timeout)

    def close(self) -> None:
        self._publisher.close()
