"""Order intake: wiring only."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from foundation.config.keys import Sealer
from foundation.config.queues import INTAKE_COMMANDS, INTAKE_INSTALLS, INTAKE_ORDERS
from foundation.config.servers import servers_of
from foundation.config.settings import Settings
from foundation.handling.dead_letters import DeadLetters
from foundation.service.process import Loop, Service, run_alone, serve
from services.order_intake import accounts
from services.order_intake.intake import Intake
from services.order_intake.rejections import refuse

MIGRATIONS = Path(__file__).parent / "migrations"


def loops(settings: Settings, sealer: Sealer, service: Service) -> Sequence[Loop]:
    own = settings.order_intake
    intake = Intake(settings, servers_of(settings), sealer)
    orders = service.worker(
        INTAKE_ORDERS,
        intake.orders(),
        own.capacity,
        own.threads,
        on_malformed=refuse,
        on_duplicate=intake.tell_known,
        deadline=own.timeout_seconds,
        leases=intake.leases,
    )
    news = service.worker(INTAKE_INSTALLS, intake.news(), own.capacity)
    commands = service.worker(INTAKE_COMMANDS, intake.commands(), own.capacity)
    buried = DeadLetters(service.database, INTAKE_ORDERS, refuse, service.metrics, service.heartbeats)
    service.count("orders", "Orders by state", accounts.counts)
    return (
        service.consume(orders, own.capacity),
        service.consume(news, own.capacity),
        lambda stop: buried.run(service.broker.consumer, stop),
        service.consume(commands, own.capacity),
        service.every(60, lambda: intake.announce_again(service.database)),
        service.every(10, lambda: intake.renew_leases(service.database)),
    )


def main(settings: Settings) -> int:
    sealer = Sealer(settings.keys.public)
    return serve("order-intake", settings, settings.order_intake, MIGRATIONS, partial(loops, settings, sealer))


if __name__ == "__main__":
    sys.exit(run_alone(main))
