"""A line on which an answer is lost: the worst that a network does to whoever publishes."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread


class LostAnswer(ThreadingTCPServer):
    """Between clients and a port of loopback. After `word` was sent, the next answer does not arrive and its
    connection ends: the other side has done what the client does not know of. All that follows passes."""

    def __init__(self, port: int, word: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.other_side = port
        self.word = word
        self.said = False
        self.lost = b""
        """The answer that did not arrive."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def passes(self, data: bytes, *, is_answer: bool) -> bool:
        """Whether this goes on to the other end."""
        if is_answer and self.said and not self.lost:
            self.lost = data
            return False
        self.said = self.said or self.word in data
        return True


class _Connection(BaseRequestHandler):
    server: LostAnswer

    def handle(self) -> None:
        client: socket.socket = self.request
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.other_side)) as other:
            while True:
                for end in select.select([client, other], [], [])[0]:
                    data = end.recv(65_536)
                    if not data or not self.server.passes(data, is_answer=end is other):
                        return
                    (client if end is other else other).sendall(data)


@contextmanager
def lost_answer(port: int, word: bytes) -> Iterator[LostAnswer]:
    """Such a line to a port, until it is left."""
    with LostAnswer(port, word) as line:
        serving = Thread(target=line.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield line
        finally:
            line.shutdown()
            serving.join()
