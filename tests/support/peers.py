"""Peers on loopback ports that are not RabbitMQ, or that misbehave."""

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], object]


@contextlib.contextmanager
def listening(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Open a port where `behaviour` handles each connection, in its own thread, before it is closed."""
    ends = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, behaviour, tls, ends), daemon=True).start()
        yield server.getsockname()[1]
        ends.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, behaviour: Behaviour, tls: ssl.SSLContext | None, ends: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not ends.is_set():
            connection, _ = server.accept()
            threading.Thread(target=_treat, args=(connection, behaviour, tls), daemon=True).start()


def _treat(connection: socket.socket, behaviour: Behaviour, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), contextlib.closing(connection):
        if tls:
            with contextlib.closing(tls.wrap_socket(connection, server_side=True)) as secured:
                behaviour(secured)
        else:
            behaviour(connection)


def silent(connection: socket.socket) -> None:
    """Read everything and answer nothing until the other side is gone."""
    while connection.recv(4096):
        pass


def closes(_connection: socket.socket) -> None:
    """Hang up at once."""


def resets(connection: socket.socket) -> None:
    """Hang up at once, with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def says(*words: bytes, first: bool = False) -> Behaviour:
    """Answer with these bytes, or send them first, and then stay silent."""

    def talk(connection: socket.socket) -> None:
        for word in words:
            if not first:
                connection.recv(4096)
            connection.sendall(word)
        silent(connection)

    return talk


class Line:
    """A TCP proxy. While it is `cut`, packets of open connections vanish in both directions without any notice, as with
    a firewall that has forgotten a connection, or a machine that has lost power."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._ends = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self) -> None:
        self._flows.clear()

    def mend(self) -> None:
        """Let traffic flow again; dropped data stays lost, and so do the connections of that time."""
        self._flows.set()

    def close(self) -> None:
        self._ends = True
        self._flows.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ends:
                connection, _ = self._server.accept()
                threading.Thread(target=self._carry, args=(connection,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            near,
            socket.create_connection(("127.0.0.1", self._target)) as far,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(near, selectors.EVENT_READ, (near, far))
            ready.register(far, selectors.EVENT_READ, (far, near))
            while all(self._pass(*key.data) for key, _ in ready.select(1)) and not self._ends:
                pass

    def _pass(self, source: socket.socket, target: socket.socket) -> bool:
        try:
            taken = source.recv(65536)
        except ConnectionError:  # a reset, which is not passed on to the other side either
            taken = b""
        if not self._flows.is_set():
            return self._swallow(taken)
        if taken:
            target.sendall(taken)
        return bool(taken)

    def _swallow(self, taken: bytes) -> bool:
        """If one end hangs up now, the other does not learn of it: this connection will never be usable again."""
        if not taken:
            self._flows.wait()
        return bool(taken)
