"""TCP ports on this machine."""

import random
import socket

from foundation.addresses import HostPort
from foundation.errors import Refused


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now, and that was returned to no process that still runs.

    It is below the range of outgoing connections (32768 and up): from that range, a client that keeps trying to reach
    a stopped server can get the server's own port, and then the server cannot come back.
    """
    while True:
        port = random.randint(20000, 32000)
        if _reserve(port) and not port_taken("127.0.0.1", port):
            return port


def _reserve(port: int) -> bool:
    """Claim the port among all who ask here, until this process ends; False if it is claimed already: the kernel gives
    out a name once. See unix(7), abstract sockets."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0sitecrew-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # stays open
    return True


def port_taken(host: str, port: int) -> bool:
    """Whether a program listens there already."""
    with socket.socket(HostPort(host, port).family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignores closed connections that linger
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def require_free(host: str, port: int, what: str) -> None:
    """Raise `Refused` if the port is taken: the other program's answers would be mistaken for our server's."""
    if port_taken(host, port):
        place = HostPort(host, port)
        raise Refused(f"{what} cannot listen on {place}, because another program does: stop it or choose another port.")


def accepts(host: str, port: int) -> bool:
    """Whether a connection to there is accepted, within a second."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
