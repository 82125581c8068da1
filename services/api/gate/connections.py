"""Connections of clients that are slow, idle or too many."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 30.0
"""How long a connection may be open without a whole request head, after it was opened and after each answer."""
MOST = 800
"""Open connections: fewer than the files that a process may have open, which the database and the broker need too."""


class Impatient(H11Protocol):
    """HTTP/1.1 that leaves nobody waiting for the rest of a request for ever, however many bytes drip in."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.close()
            return
        self._idle_with: Any = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if watching := getattr(self, "_watching", None):
            watching.cancel()

    def _watch(self) -> None:
        self._watching = self.loop.call_later(SECONDS, self._look)

    def _look(self) -> None:
        """Close the connection if no request has begun since the last look."""
        cycle = self.cycle
        is_idle = cycle is None or cycle.response_complete
        if is_idle and cycle is self._idle_with:
            self.transport.close()
            return
        self._idle_with = cycle if is_idle else self
        self._watch()
