"""The broker of a stack: who logs in there, and whether it is ours alone."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from pydantic import SecretStr

from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.definitions import as_text, definitions
from foundation.config.queues import with_api
from foundation.config.rights import USERS
from foundation.config.settings import Settings
from foundation.errors import Refused
from foundation.service.process import broker_of
from sitecrew.stack.private_file import write_private

DEFINITIONS = "definitions.json"
_GONE_SECONDS = 3.0
"""Seconds that the broker may take to notice that an earlier run is gone."""


@dataclass(frozen=True)
class Logins:
    """With which URLs processes log in, by their names in `foundation/config/rights.py`: services, the command (`cli`),
    producers (`shop`), and whoever administers the broker (`admin`)."""

    urls: Mapping[str, str] = field(repr=False)
    _passwords: Mapping[str, str] = field(repr=False)
    """Of the users of a private broker, by name."""

    @classmethod
    def private(cls, port: int) -> Self:
        """Log in to a private broker as in production, each as a user of its own, with a password of this run."""
        words = {user.name: secrets.token_urlsafe(24) for user in USERS.values()}
        names = {who: user.name for who, user in USERS.items()}
        return cls({who: f"amqp://{name}:{words[name]}@127.0.0.1:{port}/%2F" for who, name in names.items()}, words)

    @classmethod
    def existing(cls, url: str, others: Mapping[str, str]) -> Self:
        """Log in to an existing broker as its URL says; `others` are those of who does not."""
        return cls({**dict.fromkeys(USERS, url), **others}, {})

    def write(self, directory: Path, settings: Settings) -> None:
        """Write a file with each URL, and for a private broker the definitions that it imports at its start."""
        directory.mkdir(mode=0o700, exist_ok=True)
        for who, url in self.urls.items():
            write_private(directory / who, url)
        if self._passwords:
            topology = with_api(Ladder(settings.delay.unit_ms, settings.delay.levels))
            write_private(directory / DEFINITIONS, as_text(definitions(topology, "/", self._passwords)))


def declare(settings: Settings, logins: Logins, *, alone: bool) -> None:
    """Declare the topology. Services would wait for a missing broker, but a person wants to know at once. Raises
    Refused if we must be `alone` on the broker and are not."""
    admin = settings.model_copy(update={"amqp_url": SecretStr(logins.urls["admin"])})
    broker = broker_of(admin, "up", with_api)
    try:
        broker.declare()
        if alone:
            _require_alone(broker)
    finally:
        broker.close()


def _require_alone(broker: RabbitBroker) -> None:
    """Another Sitecrew on the same queues would take some of our orders, and we some of its customers' orders."""
    deadline = monotonic() + _GONE_SECONDS
    while taken := [queue.name for queue in broker.topology.queues if broker.consumers(queue.name)]:
        if monotonic() > deadline:
            raise Refused(
                f"another Sitecrew works with this broker ({', '.join(taken)}), and they would share orders: "
                "point SITECREW_AMQP_URL to a virtual host of its own, or unset it to use a private broker"
            )
        sleep(0.1)  # there is no event to wait for
