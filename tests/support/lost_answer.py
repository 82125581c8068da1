"""A connection on which an answer is lost: the worst that a network can do to a publisher."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread


class LostAnswer(ThreadingTCPServer):
    """A proxy between clients and a loopback port. After `word` has been sent, the next answer is dropped and its
    connection closed: the server has done something that the client never learns. Everything after that passes."""

    def __init__(self, port: int, word: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.other_side = port
        self.word = word
        self.said = False
        self.lost = b""
        """The answer that was dropped."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def passes(self, data: bytes, *, is_answer: bool) -> bool:
        """Whether to pass this on to the other end."""
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
    """Run such a proxy to a port."""
    with LostAnswer(port, word) as line:
        serving = Thread(target=line.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield line
        finally:
            line.shutdown()
            serving.join()
