"""The installer: wiring only."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from foundation.broker.topology import (
    INSTALLER_COMMANDS,
    INSTALLER_DUE,
    INSTALLER_MAILS,
    INSTALLER_NOW,
    INSTALLER_STAGED,
)
from foundation.runtime.sealing import Sealer
from foundation.runtime.servers import servers_of
from foundation.runtime.service import Loop, Service, serve
from foundation.runtime.settings import Settings, load
from foundation.runtime.worker import Worker
from services.installer.batch import Batches
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.reconcile import Reconciler
from services.installer.sites.registry import installers_of

MIGRATIONS = Path(__file__).parent / "migrations"
_AT_A_TIME = 100


def loops(settings: Settings, sealer: Sealer, service: Service) -> Sequence[Loop]:
    own, ledger = settings.installer, service.ledger
    installing = Installing(settings, servers_of(settings), installers_of(settings), sealer, service.now)
    reconciler = Reconciler(installing)
    batch = Worker(INSTALLER_DUE, installing.due(), ledger, capacity=own.concurrency, threads=own.concurrency)
    at_once = Worker(INSTALLER_NOW, installing.due(), ledger, capacity=own.concurrency, threads=own.concurrency)
    timer = Batches(
        settings.timer,
        batch,
        lambda: service.broker.consumer(INSTALLER_DUE, own.concurrency),
        lambda: service.broker.depth(INSTALLER_DUE),
        service.now,
    )
    commands = Commands(installing, timer.run_now)
    steady = {
        INSTALLER_STAGED: installing.staged(),
        INSTALLER_COMMANDS: commands.handlers(),
        INSTALLER_MAILS: reconciler.mails(),
    }
    return (
        timer.run,
        service.consume(at_once, own.concurrency),
        *(
            service.consume(Worker(queue, handlers, ledger, capacity=_AT_A_TIME), _AT_A_TIME)
            for queue, handlers in steady.items()
        ),
        service.every(own.lease_seconds / 3, lambda: installing.renew_leases(ledger)),
        service.every(own.lease_seconds / 3, lambda: reconciler.recover(ledger)),
    )


def main(settings: Settings) -> int:
    sealer = Sealer(settings.keys.public)
    store_url = settings.installer.store_url.get_secret_value()
    return serve("installer", settings, store_url, MIGRATIONS, partial(loops, settings, sealer))


if __name__ == "__main__":
    sys.exit(main(load()))
