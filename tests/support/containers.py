"""Run RabbitMQ in a container, through testcontainers, on a loopback port only."""

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from foundation.errors import ConfigurationError
from sitecrew.stack.ports import free_port

_TESTCONTAINERS = {
    "TESTCONTAINERS_RYUK_DISABLED": "true",
    "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
    "TC_HOST": "127.0.0.1",
    "TC_MAX_TRIES": "90",
}
"""No reaper container, which would need another image; published ports are used even on a machine that looks like a
container itself; and the number of seconds that a node has to start."""


def available(image: str) -> bool:
    """Whether a Docker engine answers, and has the image or can pull it."""
    if _without_docker():
        return False
    with warnings_of_docker():
        import docker  # noqa: PLC0415

        client = docker.from_env(timeout=60)
        try:
            return bool(client.images.list(name=image) or client.images.pull(image))
        except (docker.errors.DockerException, OSError):
            return False
        finally:
            client.close()


class RabbitContainer:
    """A node that keeps its ports and its data until it is removed.

    `image` has to behave like the official one with the management plugin: guest may log in from outside. Raises
    `ConfigurationError` if no Docker engine answers.
    """

    def __init__(self, image: str) -> None:
        if reason := _without_docker():
            raise ConfigurationError(f"TEST_RABBITMQ_IMAGE={image} needs a Docker engine: {reason}")
        os.environ.update(_TESTCONTAINERS)  # read by the import
        self._port = free_port()
        self.plugin_ports = {"rabbitmq_management": free_port()}
        with warnings_of_docker():
            from testcontainers.community.rabbitmq import RabbitMqContainer  # noqa: PLC0415

            self._container = RabbitMqContainer(image, hostname="rabbit")
        ports = {"5672": self._port, "15672": self.plugin_ports["rabbitmq_management"]}
        published = {inside: ("127.0.0.1", port) for inside, port in ports.items()}
        self._container.ports = published  # type: ignore[assignment]  # as Docker takes it
        self._started = False

    @property
    def amqp_url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}/%2F"

    def start(self) -> None:
        with warnings_of_docker():
            if self._started:
                self._container.get_wrapped_container().start()
                self._container.readiness_probe()
            else:
                self._container.start()
        self._started = True
        self.ctl("await_startup")  # it accepts clients slightly before rabbitmqctl finds everything started

    def ctl(self, *arguments: str) -> str:
        code, output = self._container.exec(["rabbitmqctl", *arguments])
        if code:
            raise RuntimeError(output.decode())
        return str(output.decode())

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=30)

    def remove(self) -> None:
        self._container.stop()


def management_port(amqp_port: int) -> int:
    """The loopback port of RabbitMQ's HTTP API in the container that has this one for AMQP."""
    with warnings_of_docker():
        import docker  # noqa: PLC0415

        with closing(docker.from_env(timeout=60)) as client:
            published = [container.ports for container in client.containers.list()]
    found = [ports for ports in published if _published(ports, "5672/tcp") == amqp_port]
    return _published(found[0], "15672/tcp")


def _published(ports: dict[str, Any], inside: str) -> int:
    return int((ports.get(inside) or [{}])[0].get("HostPort", 0))


@contextmanager
def warnings_of_docker() -> Iterator[None]:
    """Ignore warnings that its libraries raise about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_docker() -> str | None:
    """Return why no Docker engine is available; None if one answers."""
    with warnings_of_docker():
        import docker  # noqa: PLC0415

        try:
            client = docker.from_env(timeout=60)
            client.ping()
            client.close()
        except docker.errors.DockerException as error:
            reason = str(error)
        else:
            return None
        gc.collect()  # the client leaves its socket open
        return reason
