"""The installer wired up: its timer, which handlers serve which queue, its periodic tasks and its gauges."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from foundation.broker.turns import Turns
from foundation.config.keys import Sealer
from foundation.config.queues import DUE, INSTALLER_COMMANDS, INSTALLER_MAILS, INSTALLER_STAGED, NOW
from foundation.config.settings import Settings
from foundation.errors import StoreUnreachable
from foundation.hosting import Server
from foundation.service.lanes import Gauge, Lane, Loop, Parts, Periodic
from schemas.services import ServerStatus
from services.installer import installs, pausing
from services.installer.batch import Batches
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.recovery import Recovery
from services.installer.rows import load
from services.installer.servers.overview import statuses
from services.installer.sites import SiteInstaller

__all__ = ["MIGRATIONS", "InstallerService", "load"]

MIGRATIONS = Path(__file__).parent / "migrations"
_AT_A_TIME = 200


class InstallerService:
    """The installer. It installs `sites` (by site type) on `servers`."""

    def __init__(
        self, settings: Settings, parts: Parts, servers: Mapping[str, Server], sites: Mapping[str, SiteInstaller]
    ) -> None:
        self._settings = settings.installer
        self._servers = settings.servers
        self._parts = parts
        self.installing = Installing(settings, servers, sites, Sealer(settings.keys.public), parts.tell, self._goes_on)
        self._rereading = self.installing.site_types.rereading(parts.store)
        self.recovery = Recovery(self.installing)
        lane, most = self._install_lane(DUE), settings.installer.batch_size
        self.due = lane.source
        self.batch = parts.worker(lane)
        self.timer = Batches(
            settings.timer,
            self.batch,
            lambda: parts.broker.consumer(lane.source, min(lane.capacity, most or lane.capacity)),
            lambda: sum(parts.broker.depths(DUE.values()).values()),
            parts.now,
            parts.metrics.tick(),
            lambda: self.paused_since() is not None,
            most,
        )
        self.commands = Commands(self.installing, self.timer.run_now, lambda: self.timer.upcoming)

    def paused_since(self) -> datetime | None:
        """Return since when no batch begins, in any replica; None if the timer runs. Raises StoreUnreachable."""
        with self._parts.store.reading() as connection:
            return pausing.paused_since(connection)

    def lanes(self) -> Sequence[Lane]:
        return (
            Lane(INSTALLER_STAGED, self.installing.staged(), _AT_A_TIME),
            Lane(INSTALLER_COMMANDS, self.commands.handlers(), _AT_A_TIME),
            Lane(INSTALLER_MAILS, self.recovery.mails(), _AT_A_TIME),
            self._install_lane(NOW),
        )

    def loops(self) -> Sequence[Loop]:
        return (self.timer.run,)

    def periodic(self) -> Sequence[Periodic]:
        often, database = self._settings.lease_seconds / 3, self._parts.database
        return (
            Periodic("renew_leases", often, lambda: self.installing.leases.renew(database)),
            Periodic("recover", often, lambda: self.recovery.recover(database)),
            self._rereading,
        )

    def vitals(self) -> Mapping[str, Any]:
        vitals: dict[str, Any] = {"next_tick": self.timer.upcoming}
        with suppress(StoreUnreachable):  # it lives on without its database
            vitals["paused_since"] = self.paused_since()
            with self._parts.store.reading() as connection:
                vitals["servers"] = self._statuses(connection)
        return vitals

    def gauges(self) -> Sequence[Gauge]:
        return (
            Gauge("installs", "Installs by state", installs.counts),
            Gauge(
                "servers_shut",
                "1 while no install begins on a server, because it fails or is paused, else 0",
                lambda connection: {it.name: float(it.state != "closed") for it in self._statuses(connection)},
                "server",
            ),
            Gauge(
                "waiting_installs",
                "Installs that wait, by their server",
                lambda connection: {it.name: it.waiting for it in self._statuses(connection)},
                "server",
            ),
            Gauge.of_one(
                "timer_paused",
                "1 while staff have paused the timer, else 0",
                lambda connection: float(pausing.paused_since(connection) is not None),
            ),
            Gauge.of_one(
                "oldest_pending_install_age_seconds",
                "When the oldest install that is not yet installed, failed or cancelled was staged",
                lambda connection: installs.oldest_pending_seconds(connection, self._parts.now()),
            ),
        )

    def _statuses(self, connection: Connection) -> Sequence[ServerStatus]:
        return statuses(connection, self._servers)

    def _goes_on(self, claim: installs.Install) -> bool:
        with suppress(StoreUnreachable), self._parts.store.reading() as connection:
            return installs.goes_on(connection, claim)
        return True  # it lives on without its database

    def _install_lane(self, queues: Mapping[str, str]) -> Lane:
        own, installing = self._settings, self.installing
        return Lane(
            queues["normal"],
            installing.due(),
            own.concurrency,
            own.concurrency,
            _AT_A_TIME,
            deadline=installing.longest,
            leases=installing.leases,
            turns=Turns(queues["normal"], more=(queues["high"],), less=(queues["low"],)),
        )
