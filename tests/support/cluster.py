"""A cluster of three RabbitMQ nodes in containers.

The nodes know each other by a network of their own, in which each can be cut off from the others. Clients reach them by
loopback ports, through another one, and still do so then. The virtual host has the topology, without the api's queues,
and its users.
"""

import io
import ipaddress
import secrets
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pika
from pika.exceptions import AMQPError

from foundation.broker.delay import Ladder
from foundation.config.definitions import as_text, definitions
from foundation.config.queues import sitecrew
from foundation.config.rights import USERS
from sitecrew.stack.ports import free_port
from sitecrew.stack.process_group import side_by_side
from tests.support.brokers import BOOT, until
from tests.support.containers import warnings_of_docker
from tests.support.rights import PASSWORDS, VHOST

_HOSTS = ("rabbit-1", "rabbit-2", "rabbit-3")
_DEFINITIONS = "definitions.json"
_LABELS = {"org.testcontainers": "true"}
"""By which `script/test` finds what a run left that was killed."""
_TICK = 4
"""Seconds after which the others take a node for down that does not answer; 60 where nobody says otherwise."""
_HEARTBEAT = 5
"""Twice as many seconds may pass before a client leaves a node that does not answer any more."""
_CONFIGURATION = "\n".join(
    (
        "cluster_partition_handling = pause_minority",
        "cluster_formation.peer_discovery_backend = classic_config",
        *(f"cluster_formation.classic_config.nodes.{host} = rabbit@{host}" for host in _HOSTS),
        "",
    )
)


class ClusterNode:
    """A node that keeps its port and its data until it is removed."""

    def __init__(self, host: str, address: str, port: int, container: Any, network: Any) -> None:
        self.name = f"rabbit@{host}"
        self.port = port
        self._address, self._container, self._network = address, container, network
        self.join()

    def start(self) -> None:
        self._container.start()
        until(self._greets, BOOT)

    def kill(self) -> None:
        self._container.kill()

    def cut_off(self) -> None:
        """Let it reach no other node, and no other reach it; clients still do."""
        self._network.disconnect(self._container)

    def join(self) -> None:
        self._network.connect(self._container, ipv4_address=self._address)

    def run(self, *command: str) -> str:
        """Run one of RabbitMQ's commands on the node; return its output. Raises RuntimeError if it fails."""
        code, output = self._container.exec_run(command)
        if code:
            raise RuntimeError(output.decode())
        return str(output.decode())

    def is_dispensable(self) -> bool:
        """Whether all queues have a majority without it, too."""
        try:
            self.run("rabbitmq-diagnostics", "-q", "check_if_node_is_quorum_critical")
        except RuntimeError:
            return False
        return True

    def connections(self) -> int:
        """How many clients it serves."""
        return len(self.run("rabbitmqctl", "-q", "list_connections", "pid").splitlines()) - 1

    def _greets(self) -> bool:
        guest = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{self.port}/%2F")
        try:
            pika.BlockingConnection(guest).close()
        except (AMQPError, OSError):
            return False
        return True


class Cluster:
    def __init__(self, nodes: Sequence[ClusterNode]) -> None:
        self.nodes = nodes

    def url(self, who: str) -> str:
        """The URLs of all nodes, for one of `rights.USERS`."""
        user = f"{USERS[who].name}:{PASSWORDS[USERS[who].name]}"
        urls = (f"amqp://{user}@127.0.0.1:{node.port}/{VHOST}?heartbeat={_HEARTBEAT}" for node in self.nodes)
        return ",".join(urls)

    def leader(self, of: str, without: ClusterNode | None = None) -> ClusterNode:
        """The node that leads a queue, once one does that the others see."""
        seen = [node for node in self.nodes if node is not without]

        def leading() -> ClusterNode | None:
            listed = seen[0].run("rabbitmqctl", "-q", "list_queues", "-p", VHOST, "name", "leader").splitlines()
            return next((node for node in seen if f"{of}\t{node.name}" in listed), None)

        until(lambda: leading() is not None, BOOT)
        return leading() or self.leader(of, without)


@contextmanager
def cluster(image: str) -> Iterator[Cluster]:
    """Run a cluster, and remove all that there is of it in the end."""
    with warnings_of_docker(), ExitStack() as opened:
        import docker  # noqa: PLC0415

        client = docker.from_env(timeout=60)
        opened.callback(client.close)
        unique = secrets.token_hex(8)
        network, addresses = _network(client, f"sitecrew-{unique}")
        opened.callback(network.remove)
        nodes = []
        for host, address in addresses.items():
            port = free_port()
            container = client.containers.create(
                image,
                hostname=host,
                labels=_LABELS,
                ports={"5672": ("127.0.0.1", port)},
                environment={
                    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-setcookie {unique} -kernel net_ticktime {_TICK}",
                    "RABBITMQ_CTL_ERL_ARGS": f"-setcookie {unique}",
                },
                extra_hosts=addresses,
            )
            opened.callback(container.remove, force=True, v=True)
            container.put_archive("/etc/rabbitmq", _packed())
            nodes.append(ClusterNode(host, address, port, container, network))
        side_by_side([node.start for node in nodes])
        nodes[0].run("rabbitmqctl", "-q", "await_online_nodes", str(len(nodes)))
        nodes[0].run("rabbitmqctl", "-q", "import_definitions", f"/etc/rabbitmq/{_DEFINITIONS}")
        yield Cluster(nodes)


def _network(client: Any, name: str) -> tuple[Any, dict[str, str]]:
    """A network, and an address in it for each host. Without fixed addresses the nodes would ask Docker for them, which
    takes 20 seconds to say that one is away, and all else waits for that."""
    import docker  # noqa: PLC0415

    proposed = client.networks.create(name)
    [pool] = proposed.attrs["IPAM"]["Config"] or client.networks.get(name).attrs["IPAM"]["Config"]
    proposed.remove()
    own = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=pool["Subnet"])])
    network = client.networks.create(name, internal=True, labels=_LABELS, ipam=own)
    first = ipaddress.ip_network(pool["Subnet"]).network_address + 2  # after the gateway's
    return network, {host: str(first + number) for number, host in enumerate(_HOSTS)}


def _packed() -> bytes:
    """What is in /etc/rabbitmq, as an archive."""
    files = {
        "conf.d/90-cluster.conf": _CONFIGURATION,
        "enabled_plugins": "[].",
        _DEFINITIONS: as_text(definitions(sitecrew(Ladder()), VHOST, PASSWORDS)),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            file = tarfile.TarInfo(name)
            file.size = len(text)
            archive.addfile(file, io.BytesIO(text.encode()))
    return packed.getvalue()
