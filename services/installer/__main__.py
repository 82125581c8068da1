"""The installer: wiring only."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from foundation.config.keys import Sealer
from foundation.config.queues import INSTALLER_COMMANDS, INSTALLER_DUE, INSTALLER_MAILS, INSTALLER_NOW, INSTALLER_STAGED
from foundation.config.servers import servers_of
from foundation.config.settings import Settings
from foundation.service.process import Loop, Service, run_alone, serve
from services.installer import installs
from services.installer.batch import Batches
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.reconcile import Reconciler
from services.installer.sites.registry import installers_of

MIGRATIONS = Path(__file__).parent / "migrations"
_AT_A_TIME = 100


def loops(settings: Settings, sealer: Sealer, service: Service) -> Sequence[Loop]:
    own, database = settings.installer, service.database
    service.count("installs", "Installs by state", installs.counts)
    service.measure(
        "oldest_pending_install_age_seconds",
        "Since when the oldest of the installs is staged that are not yet installed, failed or cancelled",
        lambda connection: installs.oldest_pending_seconds(connection, service.now()),
    )
    installing = Installing(settings, servers_of(settings), installers_of(settings), sealer)
    reconciler = Reconciler(installing)
    batch, at_once = (
        service.worker(
            queue,
            installing.due(),
            own.concurrency,
            own.concurrency,
            deadline=installing.longest,
            leases=installing.leases,
        )
        for queue in (INSTALLER_DUE, INSTALLER_NOW)
    )
    timer = Batches(
        settings.timer,
        batch,
        lambda: service.broker.consumer(INSTALLER_DUE, own.concurrency),
        lambda: service.broker.depth(INSTALLER_DUE),
        service.now,
        service.metrics.tick(),
    )
    commands = Commands(installing, timer.run_now, lambda: timer.upcoming)
    steady = {
        INSTALLER_STAGED: installing.staged(),
        INSTALLER_COMMANDS: commands.handlers(),
        INSTALLER_MAILS: reconciler.mails(),
    }
    return (
        timer.run,
        service.consume(at_once, own.concurrency),
        *(
            service.consume(service.worker(queue, handlers, _AT_A_TIME), _AT_A_TIME)
            for queue, handlers in steady.items()
        ),
        service.every(own.lease_seconds / 3, lambda: installing.renew_leases(database)),
        service.every(own.lease_seconds / 3, lambda: reconciler.recover(database)),
    )


def main(settings: Settings) -> int:
    sealer = Sealer(settings.keys.public)
    return serve("installer", settings, settings.installer, MIGRATIONS, partial(loops, settings, sealer))


if __name__ == "__main__":
    sys.exit(run_alone(main))
