"""A limit for a whole conversation: a time-out for each step is none for a server that sends a little at a time."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Deadline:
    """Cuts the connection that it watches when the time is over, whatever that is busy with."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        self._watched: socket.socket | None = None
        self._lock = threading.Lock()

    def watch(self, connection: socket.socket) -> None:
        """From now on this connection, and no other; at once if the time is over."""
        with self._lock:
            self._watched = connection
            if self.passed:
                _cut(connection)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The time begins here; nothing is cut after the end of the block."""
        timer = threading.Timer(self.seconds, self._pass)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._watched = None

    def _pass(self) -> None:
        with self._lock:
            self.passed = True
            if self._watched is not None:
                _cut(self._watched)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        # Not TLS's own shutdown: it would first turn the connection into a plain one, for whoever writes just now.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
