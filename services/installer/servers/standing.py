"""Whether installs may begin on a server: the table, the record, and every change it can make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Self

from sqlalchemy import Column, Connection, Integer, String, Table

from foundation.handling.backoff import Backoff
from foundation.store import PydanticJson, Utc
from foundation.store.frozen import replace
from foundation.store.records import Loaded, Records
from foundation.store.types import Word, metadata
from schemas.values import Cause
from services.installer.states import ServerState

server_standings = Table(
    "server_standings",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("state", Word(ServerState), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("last_order", String(64)),
    Column("openings", Integer, nullable=False),
    Column("since", Utc),
    Column("until", Utc),
    Column("cause", PydanticJson(Cause)),
    Column("reason", String(200)),
    Column("paused_by", String(200)),
)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a server stands. A server without a row is fine."""

    name: str
    state: ServerState = ServerState.CLOSED
    failures: int = 0
    """How many installs in a row have failed for a cause of the server's own."""
    last_order: str | None = None
    """Whose install that was last: one order alone says nothing of its server, however often it fails."""
    openings: int = 0
    """How often it was given up since an install succeeded there."""
    since: datetime | None = None
    """Since when it stands so."""
    until: datetime | None = None
    """When one install is let through to try it, or the pause ends."""
    cause: Cause | None = None
    """Of the last failure."""
    reason: str | None = None
    """Why staff paused it."""
    paused_by: str | None = None

    @property
    def is_fine(self) -> bool:
        return self.state == ServerState.CLOSED and not self.failures

    @property
    def is_failing(self) -> bool:
        """Whether it was given up, and nothing has succeeded there since."""
        return self.state in (ServerState.OPEN, ServerState.HALF_OPEN)

    def is_shut(self, now: datetime) -> bool:
        """Whether no install may begin there."""
        return self.state != ServerState.CLOSED and (self.until is None or now < self.until)

    def has_paused_enough(self, now: datetime) -> bool:
        """Whether its pause is over by itself."""
        return self.state == ServerState.PAUSED and not self.is_shut(now)

    def failed(self, order_id: str, cause: Cause, most: int, pauses: Backoff, now: datetime) -> Self:
        """An install failed for a cause of the server's own. After `most` in a row it is given up for a while; if one
        that was let through to try it fails, for longer."""
        more = order_id != self.last_order or self.state != ServerState.CLOSED
        failing = replace(self, failures=self.failures + more, last_order=order_id, cause=cause)
        is_enough = self.state == ServerState.CLOSED and failing.failures >= most
        if not is_enough and self.state != ServerState.HALF_OPEN:
            return failing
        openings = self.openings + 1
        opened = replace(failing, state=ServerState.OPEN, openings=openings, until=now + pauses.pause(openings))
        return replace(opened, since=now) if is_enough else opened

    def tried(self, until: datetime) -> Self:
        """One install is let through to try it; others wait until it has ended, or until then."""
        return replace(self, state=ServerState.HALF_OPEN, until=until)

    def tried_in_vain(self, now: datetime) -> Self:
        """What was let through ended without a word on the server: another may try."""
        return replace(self, state=ServerState.OPEN, until=now) if self.state == ServerState.HALF_OPEN else self

    def recovered(self, now: datetime) -> "Standing":
        """An install succeeded there. A pause stays."""
        if self.state == ServerState.PAUSED:
            return replace(self, failures=0, last_order=None, openings=0, cause=None)
        return self.resumed(now)

    def paused(self, reason: str | None, until: datetime | None, by: str | None, now: datetime) -> Self:
        """Staff let no install begin there. If it is paused already, it stays so since then, as they say now."""
        since = self.since if self.state == ServerState.PAUSED else now
        return replace(self, state=ServerState.PAUSED, since=since, until=until, reason=reason, paused_by=by)

    def resumed(self, now: datetime) -> "Standing":
        """Staff, or the end of the pause, let installs begin there, whatever has failed."""
        return Standing(name=self.name, since=now)


STANDINGS = Records(server_standings, Standing, key="name")
_EVERY = STANDINGS.select().order_by(server_standings.c.name)


class Standings:
    """The servers' standings in one transaction: read once, without a lock, and locked one by one where they are
    changed."""

    def __init__(self, connection: Connection | None = None) -> None:
        """Without a connection, all servers are fine at first."""
        self._connection = connection
        self._read: Mapping[str, Standing] | None = None
        self._locked: dict[str, Loaded[Standing]] = {}

    def of(self, server: str) -> Standing:
        """Return how a server stands."""
        locked = self._locked.get(server)
        known = locked.get(server) if locked else self._all().get(server)
        return known or _fine(server)

    def change(self, server: str, change: Callable[[Standing], Standing]) -> tuple[Standing, Standing]:
        """Change a standing; return how it was, and how it is now."""
        if server not in self._locked:
            there = self._connection
            self._locked[server] = STANDINGS.load(there, [server]) if there else Loaded(STANDINGS)
        before = self.of(server)
        after = change(before)
        return before, after if after is before else self._locked[server].save(after)

    def flush(self, connection: Connection) -> None:
        """Write what was changed."""
        for loaded in self._locked.values():
            loaded.flush(connection)

    def _all(self) -> Mapping[str, Standing]:
        if self._read is None:
            self._read = {it.name: it for it in every(self._connection)} if self._connection else {}
        return self._read


@lru_cache
def _fine(server: str) -> Standing:
    return Standing(name=server)


def waiting_to_be_looked_at(connection: Connection, now: datetime) -> list[str]:
    """Return the servers that are paused or failing, and whose time has come."""
    return [it.name for it in every(connection) if it.state != ServerState.CLOSED and not it.is_shut(now)]


def every(connection: Connection) -> list[Standing]:
    """Return the standings of all servers that have one."""
    return STANDINGS.read(connection.execute(_EVERY))
