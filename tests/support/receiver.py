"""A receiver of webhooks that answers as a test wants."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: bytes = b"", **headers: str) -> Behaviour:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


class Receiver:
    """Receives at `url`; `behaviours` says how each path is answered, with 204 if it is not in it. Queries don't
    matter."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[Received] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.ended = threading.Event()
        """Set when the test is over: whatever hangs may end."""

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]


def hang(at: Receiver) -> Behaviour:
    def wait(_request: BaseHTTPRequestHandler) -> None:
        at.ended.wait()

    return wait


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True  # the sender was killed amid it
                return
            received.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            try:
                received.behaviours.get(self.path.partition("?")[0], status(204))(self)
            except OSError:
                self.close_connection = True  # the sender has had enough

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    received = Receiver(server.server_address[1])
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield received
    received.ended.set()
    server.shutdown()
    server.server_close()
