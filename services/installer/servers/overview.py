"""How all servers stand, for people."""

from collections.abc import Mapping

from sqlalchemy import Connection

from foundation.config.settings import HostingServer
from foundation.store.running import Running
from schemas.services import ServerStatus
from services.installer.installs import installs
from services.installer.servers.standing import Standing, Standings
from services.installer.states import ServerState, State


def statuses(
    connection: Connection, servers: Mapping[str, HostingServer], standings: Standings | None = None
) -> tuple[ServerStatus, ...]:
    """Return how the servers of the settings stand, by a transaction's `standings` if there is one."""
    place, waits = installs.c.server, (installs.c.waiting_for.is_not(None), installs.c.state == State.WAITING)
    running = Running(connection, place, installs.c.lease_owner.is_not(None)).written(servers)
    waiting = Running(connection, place, *waits).written(servers)
    standings = standings or Standings(connection)
    return tuple(
        _status(standings.of(name), server.concurrency, running.get(name, 0), waiting.get(name, 0))
        for name, server in servers.items()
    )


def _status(standing: Standing, concurrency: int | None, running: int, waiting: int) -> ServerStatus:
    return ServerStatus(
        name=standing.name,
        state=standing.state.value,
        concurrency=concurrency,
        running=running,
        waiting=waiting,
        since=None if standing.state == ServerState.CLOSED else standing.since,
        until=standing.until,
        cause=standing.cause,
        reason=standing.reason,
    )
