"""RabbitMQ's HTTP API (its management plug-in), read-only, for what AMQP does not show about queues."""

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx2

from foundation.broker.address import nodes_of
from foundation.broker.tls import Tls, context_of
from foundation.errors import BrokerUnreachable, ConfigurationError

_DENIED = (401, 403)


@dataclass(frozen=True)
class Management:
    """The API at a URL, as a user of the broker."""

    url: str
    """Without user and password."""
    vhost: str
    username: str
    password: str = field(repr=False)
    patience: float
    context: ssl.SSLContext | bool = True

    @classmethod
    def of(cls, url: str, amqp_url: str, patience: float, tls: Tls) -> "Management":
        """From `http://host:15672`, with the user and virtual host of `amqp_url` unless the URL has another user.
        Raises ConfigurationError."""
        parts, broker = urlsplit(url.strip()), urlsplit(nodes_of(amqp_url)[0])
        user = parts if parts.username else broker
        return cls(
            url=parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/"),
            vhost=unquote(broker.path[1:]) or "/",
            username=unquote(user.username or "guest"),
            password=unquote(user.password or "guest"),
            patience=patience,
            context=context_of(tls) if tls.ca_file and parts.scheme == "https" else True,
        )

    def queues(self) -> list[dict[str, Any]]:
        """All queues of the virtual host. Raises BrokerUnreachable, ConfigurationError."""
        found = self._get(f"queues/{quote(self.vhost, safe='')}")
        return [queue for queue in found if isinstance(queue, dict)]

    def nodes(self) -> int:
        """How many nodes the cluster has, running or not; 1 if the user lacks the tag `monitoring`."""
        try:
            return len(self._get("nodes"))
        except ConfigurationError:
            return 1

    def _get(self, path: str) -> list[Any]:
        try:
            answer = httpx2.get(
                f"{self.url}/api/{path}",
                auth=(self.username, self.password),
                timeout=self.patience,
                verify=self.context,
                trust_env=False,
            )
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise BrokerUnreachable(
                f"cannot query RabbitMQ's management API at {self.url}: {error or type(error).__name__}. "
                "Check amqp_management_url, and `rabbitmq-plugins enable rabbitmq_management`"
            ) from None
        if answer.status_code in _DENIED:
            raise ConfigurationError(
                f"RabbitMQ's management API at {self.url} refuses the user {self.username}: "
                f"rabbitmqctl set_user_tags {self.username} monitoring, or name another in amqp_management_url"
            )
        return _listed(answer, self.url)


def _listed(answer: httpx2.Response, url: str) -> list[Any]:
    try:
        found = answer.json() if answer.status_code == httpx2.codes.OK else None
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise BrokerUnreachable(
            f"{url} answers ({answer.status_code}), but not like RabbitMQ's management API. Check amqp_management_url"
        )
    return found
