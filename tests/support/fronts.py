"""Web servers like those in front of real sites: with TLS, redirects, passwords, filters and faults."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from foundation.addresses import HostPort
from sitecrew.stack.web.static import serve
from tests.support.certificates import Certificate


@dataclass(frozen=True)
class Reply:
    """An answer that a front gives instead of the site."""

    status: int
    body: str = ""
    location: str | None = None


Behaviour = Callable[[Mapping[str, str], str], Reply | None]
"""Called with a request's headers and path; None passes the request on to the site."""


@contextmanager
def front(
    root: Path,
    behaviour: Behaviour = lambda *_: None,
    *,
    tls: Certificate | None = None,
    host: str = "127.0.0.1",
) -> Iterator[str]:
    """Run a front for the sites below `root`; yields its `host:port`."""
    server = serve(root, host, 0)
    handler = server.RequestHandlerClass
    assert isinstance(handler, partial)

    class Front(handler.func):  # type: ignore[misc, name-defined]
        def do_GET(self) -> None:  # noqa: N802 - the library's name
            reply = behaviour({name.lower(): value for name, value in self.headers.items()}, self.path)
            if reply is None:
                super().do_GET()
            else:
                _send(self, reply)

    server.RequestHandlerClass = partial(Front, **handler.keywords)
    if tls is not None:
        server.socket = _secured(server.socket, tls)
    with _serving(server):
        yield str(HostPort(host, server.server_port))


def _send(handler: SimpleHTTPRequestHandler, reply: Reply) -> None:
    body = reply.body.encode()
    handler.send_response(reply.status)
    if reply.location is not None:
        handler.send_header("Location", reply.location)
    handler.send_header("Content-Type", "text/html; charset=utf-8")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def tls_in_front_of(address: str, tls: Certificate) -> Iterator[str]:
    """Run a proxy that terminates TLS in front of a web server; yields its `host:port`."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass_on(self, body: bytes | None) -> None:
            headers = {**dict(self.headers.items()), "X-Forwarded-Proto": "https", "Connection": "close"}
            connection = HTTPConnection(*HostPort.parse(address), timeout=60)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.socket = _secured(server.socket, tls)
    with _serving(server):
        yield f"127.0.0.1:{server.server_port}"


def _secured(plain: socket.socket, tls: Certificate) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.chain, tls.key)
    return context.wrap_socket(plain, server_side=True)


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()
