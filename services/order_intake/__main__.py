"""Order intake: wiring only."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from foundation.broker.topology import INTAKE_INSTALLS, INTAKE_ORDERS
from foundation.runtime.sealing import Sealer
from foundation.runtime.servers import servers_of
from foundation.runtime.service import Loop, Service, serve
from foundation.runtime.settings import Settings, load
from foundation.runtime.worker import Worker
from services.order_intake.intake import Intake
from services.order_intake.rejections import refuse

MIGRATIONS = Path(__file__).parent / "migrations"


def loops(settings: Settings, sealer: Sealer, service: Service) -> Sequence[Loop]:
    own = settings.order_intake
    intake = Intake(settings, servers_of(settings), sealer)
    orders = Worker(
        INTAKE_ORDERS,
        intake.orders(),
        service.ledger,
        capacity=own.capacity,
        threads=own.threads,
        refused=refuse,
    )
    news = Worker(INTAKE_INSTALLS, intake.news(), service.ledger, capacity=own.capacity)
    return (
        service.consume(orders, own.capacity),
        service.consume(news, own.capacity),
        service.every(60, lambda: intake.announce_again(service.ledger)),
        service.every(10, lambda: intake.renew_leases(service.ledger)),
    )


def main(settings: Settings) -> int:
    sealer = Sealer(settings.keys.public)
    store_url = settings.order_intake.store_url.get_secret_value()
    return serve("order-intake", settings, store_url, MIGRATIONS, partial(loops, settings, sealer))


if __name__ == "__main__":
    sys.exit(main(load()))
