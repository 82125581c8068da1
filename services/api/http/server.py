"""The web server: uvicorn in a thread of the service."""

import os
import socket
import threading

import structlog
import uvicorn
from fastapi import FastAPI

from foundation.addresses import HostPort
from foundation.config.settings import Api
from foundation.errors import ConfigurationError
from services.api.gate.connections import Impatient

_GRACE = 10
"""Seconds that running requests may take to finish when the service stops; streams are ended at once."""

_log = structlog.get_logger(__name__)


class Server:
    """Serves one application at the address that the settings name."""

    def __init__(self, own: Api, app: FastAPI) -> None:
        self._own = own
        self._app = app
        self._listening: socket.socket | None = None
        self.stopping: threading.Event = app.state.stopping

    def listen(self) -> int:
        """Listen from now on; requests wait for `run`. Returns the port. Raises ConfigurationError if it is taken."""
        if self._listening is None:
            self._listening = _listen(HostPort.parse(self._own.address))
            _log.info("http.listening", port=self._listening.getsockname()[1])
        return int(self._listening.getsockname()[1])

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set, then finish what runs. Raises ConfigurationError if the address is taken."""
        self.listen()
        server = uvicorn.Server(self._config())
        threading.Thread(target=self._end, args=(stop, server), name="http stop", daemon=True).start()
        server.run(sockets=[self._listening] if self._listening else None)

    def _config(self) -> uvicorn.Config:
        own, tls = self._own, {}
        if own.tls_certificate:
            tls = {"ssl_certfile": own.tls_certificate, "ssl_keyfile": own.tls_key}
        return uvicorn.Config(
            self._app,
            http=Impatient,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=True,
            proxy_headers=bool(own.trusted_proxies),
            forwarded_allow_ips=list(own.trusted_proxies),
            timeout_graceful_shutdown=_GRACE,
            **tls,  # type: ignore[arg-type]  # two paths
        )

    def _end(self, stop: threading.Event, server: uvicorn.Server) -> None:
        stop.wait()
        self.stopping.set()
        server.should_exit = True


def _listen(place: HostPort) -> socket.socket:
    try:
        listening = socket.create_server((place.host, place.port), family=place.family)
    except OSError as error:
        raise ConfigurationError(f"api.address: cannot listen on {place}: {os.strerror(error.errno or 0)}") from None
    # Inherited by connections; asyncio sets it only where a socket names its protocol. Without it, the kernel would
    # keep an answer's body until the client has acknowledged its head, which clients do 40 ms late.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
