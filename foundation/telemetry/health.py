"""Serve a service's health over HTTP, for supervisors and Prometheus.

- `/livez`: whether its loops are running. If not, a restart may help.
- `/readyz`: whether it can work right now, because its broker and store answer. `?verbose` lists each probe.
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
"""Seconds without a heartbeat after which a loop counts as stuck; no iteration takes that long."""

_CONNECTIONS = 32
_REQUEST_BYTES = 16_384
_REQUEST_SECONDS = 5.0

Probe = Callable[[], None]
"""Checks one thing. Raises SitecrewError if it fails."""

_log = structlog.get_logger(__name__)


def wellness(probes: Mapping[str, Probe]) -> dict[str, float]:
    """Return 1 for each probe that succeeds, 0 for each that fails."""
    return {name: float(error is None) for name, error in _errors(probes).items()}


def _errors(probes: Mapping[str, Probe]) -> dict[str, SitecrewError | None]:
    """Return the error of each probe; None if it succeeds."""
    return {name: _error(probe) for name, probe in probes.items()}


def _error(probe: Probe) -> SitecrewError | None:
    try:
        probe()
    except SitecrewError as error:
        return error
    return None


class Heartbeats:
    """Tracks when each loop last made an iteration, and how many of its effects are overdue. Thread-safe."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}
        self._overdue: dict[str, Callable[[], int]] = {}

    def beat(self, loop: str) -> None:
        self._beats[loop] = monotonic()

    def end(self, loop: str) -> None:
        """Stop tracking a loop that has ended."""
        self._beats.pop(loop, None)

    def watch(self, loop: str, overdue: Callable[[], int]) -> None:
        """Register a function that returns how many of the loop's effects are past their deadline."""
        self._overdue[loop] = overdue

    def unwatch(self, loop: str) -> None:
        self._overdue.pop(loop, None)

    def overdue(self) -> dict[str, float]:
        """Return how many effects of each loop are past their deadline."""
        return {loop: count() for loop, count in self._overdue.copy().items()}

    def ages(self) -> dict[str, float]:
        """Return the seconds since each loop's last heartbeat."""
        return {loop: monotonic() - beat for loop, beat in self._beats.copy().items()}

    def require_alive(self) -> None:
        """Raise SitecrewError, naming the loops that are stuck or have overdue effects, if there are any."""
        stuck = [loop for loop, seconds in self.ages().items() if seconds > STALLED]
        overdue = [f"{loop} ({count})" for loop, count in self.overdue().items() if count]
        problems = [f"no heartbeat for {STALLED:g} s: {', '.join(stuck)}"] * bool(stuck)
        problems += [f"work past its deadline: {', '.join(overdue)}"] * bool(overdue)
        if problems:
            raise SitecrewError("; ".join(problems))


class HealthServer:
    """Listens at `address` (host:port; port 0 picks a free one) and answers from a thread of its own.

    Raises ConfigurationError, naming `setting`, if the address is invalid or in use.
    """

    def __init__(
        self, address: str, setting: str, live: Probe, ready: Mapping[str, Probe], metrics: CollectorRegistry
    ) -> None:
        answering = _answering(live, ready, metrics)
        try:
            self._server = _Server(HostPort.parse(address), answering)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "expected host:port, such as 127.0.0.1:9411"
            raise ConfigurationError(
                f"{setting}: cannot listen on {address!r}: {reason}. Each replica on this machine needs its own address"
                " (port 0 picks a free one); set it to off to disable health checks and metrics"
            ) from None
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Bounded(io.RawIOBase):
    """Reads a request from a client up to a limit in bytes and time; beyond it, there is nothing to read."""

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
    """One thread per connection, up to a limit: a new connection beyond it closes the oldest."""

    daemon_threads = True
    request_queue_size = 64

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            if len(self._open) >= _CONNECTIONS:
                oldest, _ = self._open.popitem(last=False)
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread sees the end of the stream
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
        """Log unexpected errors, where the base class would print a traceback. Clients that hang up are ignored."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _log.exception("health.broken")


def _answering(live: Probe, ready: Mapping[str, Probe], metrics: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        """One request."""

        server_version = "sitecrew"
        sys_version = ""
        timeout = _REQUEST_SECONDS
        """Seconds for each write."""

        def setup(self) -> None:
            super().setup()
            self.rfile = io.BufferedReader(_Bounded(self.connection))

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            match url.path:
                case "/livez":
                    self._respond(*_report({"loops": live}, verbose="verbose" in url.query))
                case "/readyz":
                    self._respond(*_report(ready, verbose="verbose" in url.query))
                case "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept", ""))
                    self._respond(200, encode(metrics), kind)
                case _:
                    self._respond(404, b"not found; try /livez, /readyz?verbose or /metrics\n")

        def _respond(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None:
            """Log nothing: probes come every few seconds."""

    return Answer


def _report(probes: Mapping[str, Probe], *, verbose: bool) -> tuple[int, bytes]:
    """Return status and body, in the format of the Kubernetes API server's own health endpoints."""
    errors = _errors(probes)
    failed = {name: str(error) for name, error in errors.items() if error is not None}
    for name, reason in failed.items():
        _log.warning("health.failed", probe=name, reason=reason)
    lines = [f"[-]{name} failed: {failed[name]}" if name in failed else f"[+]{name} ok" for name in errors]
    if not (failed or verbose):
        lines = ["ok"]
    return (503 if failed else 200), ("\n".join(lines) + "\n").encode()
