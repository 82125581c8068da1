"""Replicas of services as processes of their own, each of which comes back when it is killed; and all that they say."""

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from foundation.broker import Consumer, codec
from sitecrew.stack.ports import free_port
from tests.support.audited import require_sound_stores
from tests.support.brokers import IMAGE
from tests.support.house import kind
from tests.support.rights import logins

OFTEN = {
    "PATH": os.environ["PATH"],
    "SITECREW_SITES__STATIC__STAGE": "true",
    "SITECREW_TIMER__EVERY": "* * * * * *",
    "SITECREW_TIMER__JITTER_SECONDS": "0",
    "SITECREW_INSTALLER__LEASE_SECONDS": "5",
}
"""Settings with which nothing waits long."""

Which = tuple[str, int]
"""A service, and the number of its replica."""


class Crew:
    """Replicas, each of which comes back when it was killed."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], replicas: Iterable[Which], urls: Mapping[str, str]
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._urls = urls
        self._running = {which: self._start(*which) for which in replicas}
        self.kills = 0

    @property
    def notes(self) -> list[list[str]]:
        return [line.split() for line in (self._directory / "notes").read_text().splitlines()]

    def kill(self, which: Which) -> None:
        self._running[which].kill()
        self._running[which].wait()
        self._running[which] = self._start(*which)
        self.kills += 1

    def end(self) -> list[int]:
        """Their exit codes, having been told to stop."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(60) for process in self._running.values()]

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def _start(self, name: str, number: int) -> subprocess.Popen[bytes]:
        module = "api_replica" if name == "api" else "replica"
        own = {f"SITECREW_{name.replace('-', '_').upper()}__LISTEN": f"127.0.0.1:{free_port()}"}
        if name in self._urls:
            own["SITECREW_AMQP_URL"] = self._urls[name]
        with (self._directory / f"{name}-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"tests.support.{module}", name, str(self._directory / "notes")],
                env={**self._environment, **own},
                stdout=log,
                stderr=log,
            )


@contextmanager
def working(
    directory: Path, environment: Mapping[str, str], replicas: Iterable[Which], urls: Mapping[str, str] | None = None
) -> Iterator[Crew]:
    """Run the replicas, with the broker's URLs by service, or the environment's: in the container lane with users of
    their own, elsewhere as it is. At the end, all that their databases say has to fit together."""
    if IMAGE and urls is None:
        urls = logins(environment["SITECREW_AMQP_URL"])
    crew = Crew(directory, environment, replicas, urls or {})
    try:
        yield crew
        require_sound_stores({name: environment[_store_url(name)] for name in ("order-intake", "installer", "mailer")})
    finally:
        crew.close()


def _store_url(service: str) -> str:
    return f"SITECREW_{service.replace('-', '_').upper()}__STORE_URL"


class Ears:
    """All events, each once, by order."""

    def __init__(self, watcher: Consumer) -> None:
        self._watcher = watcher
        self.bodies: dict[str, bytes] = {}
        self.heard: dict[str, Counter[str]] = defaultdict(Counter)

    def listen(self) -> int:
        """How many there were up to now. What is said twice under one id has to be the same."""
        for delivery in self._watcher.take(100, 0.1):
            event = codec.decode(delivery.body)
            if event.id not in self.bodies:
                self.heard[str(event.subject)][kind(event.type)] += 1
            assert self.bodies.setdefault(event.id, delivery.body) == delivery.body
        return len(self.bodies)

    def orders_with(self, *kinds: str) -> set[str]:
        return {order for order, counted in self.heard.items() if any(counted[kind] for kind in kinds)}
