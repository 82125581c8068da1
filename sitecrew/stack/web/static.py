"""The router's mapping for static sites only, in Python: for machines without PHP.

`/~username/...` is `<root>/accounts/<username>/www/...`, and below any other path the Host header's
`<domain>` is `<root>/vhosts/<domain>/...`.
"""

import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from socketserver import BaseServer
from urllib.parse import unquote, urlsplit

from foundation.addresses import HostPort

_USER = re.compile(r"~([a-z][a-z0-9]{2,15})")
_HOST = re.compile(r"[a-z0-9][a-z0-9.-]*")
_NOWHERE = "/dev/null/nothing"
"""A path that no file can have; asking for it is answered with 404."""


def serve(root: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server bound to `host:port` (0: any free one) for the hosting root; the caller runs `serve_forever`."""
    return _Server(HostPort(host, port), partial(_Handler, root=root))


def locate(root: Path, host: str, path: str) -> Path | None:
    """The file or directory for a URL path at a host; None if it must not be served.

    Never served are anything outside a document root, whatever links lead there, names that start
    with a dot, and PHP files, which would show their source.
    """
    segments = [part for part in unquote(urlsplit(path).path).split("/") if part]
    if any(part.startswith(".") or "\0" in part or "\\" in part for part in segments):
        return None
    if segments and (user := _USER.fullmatch(segments[0])):
        www = root / "accounts" / user[1] / "www"
        segments = segments[1:]
    elif _HOST.fullmatch(name := re.sub(r":\d+$", "", host).lower()):
        www = root / "vhosts" / name
    else:
        return None
    accounts, www = (root / "accounts").resolve(), www.resolve()
    file = www.joinpath(*segments).resolve()
    ours = www.is_relative_to(accounts) and www.name == "www" and file.is_relative_to(www)
    return file if ours and file.suffix.lower() != ".php" else None


class _Handler(SimpleHTTPRequestHandler):
    """The standard library's file handler, which knows types, dates and redirects, with our mapping of paths."""

    server_version = "sitecrew"

    def __init__(self, request: socket, client_address: tuple[str, int], server: BaseServer, *, root: Path) -> None:
        self._root = root
        super().__init__(request, client_address, server)

    def translate_path(self, path: str) -> str:
        asked = f"{path}index.html" if urlsplit(path).path.endswith("/") else path
        found = locate(self._root, self.headers.get("Host", ""), asked)
        return _NOWHERE if found is None else str(found)

    def list_directory(self, path: str) -> None:  # type: ignore[override]
        self.send_error(HTTPStatus.NOT_FOUND, "There is no such page here")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: the web server's traffic does not belong in the product's log."""

    def log_error(self, *_: object) -> None:
        """As quiet as `log_request`."""


class _Server(ThreadingHTTPServer):
    """Bound to an address of either family."""

    def __init__(self, place: HostPort, handler: Callable[..., _Handler]) -> None:
        self.address_family = place.family
        super().__init__(place, handler)
