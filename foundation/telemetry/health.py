"""A service's health, as supervisors and Prometheus ask for it over HTTP.

- `/livez`: whether its loops come round. If not, a restart may help.
- `/readyz`: whether it can work just now: its broker and its store answer. With `?verbose`, which of them.
- `/metrics`: see `metrics`.
"""

import io
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from foundation.addresses import HostPort
from foundation.errors import ConfigurationError, SitecrewError

STALLED = 300.0
"""Seconds without a heartbeat after which a loop is taken to be stuck: no turn takes that long."""

_CONNECTIONS = 32
_REQUEST_BYTES = 16_384
_REQUEST_SECONDS = 5.0

Probe = Callable[[], None]
"""Looks at one thing. Raises SitecrewError if it is not well."""

_log = structlog.get_logger(__name__)


def wellness(probes: Mapping[str, Probe]) -> dict[str, float]:
    """1 for each thing that is well, 0 for each that is not."""
    return {name: float(trouble is None) for name, trouble in _troubles(probes).items()}


def _troubles(probes: Mapping[str, Probe]) -> dict[str, SitecrewError | None]:
    """What is wrong with each thing; None if it is well."""
    return {name: _trouble(probe) for name, probe in probes.items()}


def _trouble(probe: Probe) -> SitecrewError | None:
    try:
        probe()
    except SitecrewError as error:
        return error
    return None


class Heartbeats:
    """When each loop last came round, and what does not come back to it. Loops beat from threads of their own."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}
        self._overdue: dict[str, Callable[[], int]] = {}

    def beat(self, loop: str) -> None:
        self._beats[loop] = monotonic()

    def end(self, loop: str) -> None:
        """It has come to its end, and will not beat again."""
        self._beats.pop(loop, None)

    def watch(self, loop: str, overdue: Callable[[], int]) -> None:
        """Ask `overdue` how many of the loop's acts have not come back for longer than they may take."""
        self._overdue[loop] = overdue

    def unwatch(self, loop: str) -> None:
        self._overdue.pop(loop, None)

    def overdue(self) -> dict[str, float]:
        """How many acts of each loop are past their time."""
        return {loop: count() for loop, count in self._overdue.copy().items()}

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last heartbeat."""
        return {loop: monotonic() - beat for loop, beat in self._beats.copy().items()}

    def require_alive(self) -> None:
        """Raises SitecrewError that names the loops which are stuck, or whose acts are."""
        stuck = [loop for loop, seconds in self.ages().items() if seconds > STALLED]
        hanging = [f"{loop} ({count})" for loop, count in self.overdue().items() if count]
        troubles = [f"no heartbeat for {STALLED:g} s: {', '.join(stuck)}"] * bool(stuck)
        troubles += [f"work past its deadline: {', '.join(hanging)}"] * bool(hanging)
        if troubles:
            raise SitecrewError("; ".join(troubles))


class HealthServer:
    """Answers at `address` (host:port; port 0 is any free one) from a thread of its own.

    Raises ConfigurationError, naming `setting`, if the address is none or in use.
    """

    def __init__(
        self, address: str, setting: str, live: Probe, ready: Mapping[str, Probe], metrics: CollectorRegistry
    ) -> None:
        answering = _answering(live, ready, metrics)
        try:
            self._server = _Server(HostPort.parse(address), answering)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "write it like 127.0.0.1:9411"
            raise ConfigurationError(
                f"{setting} = {address!r}: cannot listen there: {reason}. Each replica on this machine needs an "
                "address of its own (port 0 picks a free one); set it to off to disable health and metrics"
            ) from None
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Bounded(io.RawIOBase):
    """What a client sends, as far as a request may go in bytes and in time. What is beyond never comes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = _REQUEST_BYTES
        self._ends = monotonic() + _REQUEST_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(max(0.001, self._ends - monotonic()))
        taken = self._connection.recv_into(memoryview(buffer)[: self._left]) if self._left else 0
        self._left -= taken
        return taken


class _Server(ThreadingHTTPServer):
    """A thread a connection, and not too many of either: who comes then takes the place of the oldest."""

    daemon_threads = True
    request_queue_size = 64

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            if len(self._open) >= _CONNECTIONS:
                oldest, _ = self._open.popitem(last=False)
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread finds it at its end
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def __init__(self, place: HostPort, answering: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = place.family
        self._open: OrderedDict[socket.socket, None] = OrderedDict()
        self._changing = threading.Lock()
        super().__init__(place, answering)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who hangs up before our answer is no news. The server would print a traceback, which is no log line."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _log.exception("health.broken")


def _answering(live: Probe, ready: Mapping[str, Probe], metrics: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        """One request."""

        server_version = "sitecrew"
        sys_version = ""
        timeout = _REQUEST_SECONDS
        """For each write."""

        def setup(self) -> None:
            super().setup()
            self.rfile = io.BufferedReader(_Bounded(self.connection))

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            match asked.path:
                case "/livez":
                    self._say(*_report({"loops": live}, verbose="verbose" in asked.query))
                case "/readyz":
                    self._say(*_report(ready, verbose="verbose" in asked.query))
                case "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept", ""))
                    self._say(200, encode(metrics), kind)
                case _:
                    self._say(404, b"/livez, /readyz?verbose and /metrics are here\n")

        def _say(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None:
            """Probes come every few seconds, and say nothing new."""

    return Answer


def _report(probes: Mapping[str, Probe], *, verbose: bool) -> tuple[int, bytes]:
    """Status and body, in the form of the Kubernetes API server's own health endpoints."""
    troubles = _troubles(probes)
    failed = {name: str(trouble) for name, trouble in troubles.items() if trouble is not None}
    for name, reason in failed.items():
        _log.warning("health.failed", probe=name, reason=reason)
    lines = [f"[-]{name} failed: {failed[name]}" if name in failed else f"[+]{name} ok" for name in troubles]
    if not (failed or verbose):
        lines = ["ok"]
    return (503 if failed else 200), ("\n".join(lines) + "\n").encode()
