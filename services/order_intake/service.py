"""Order intake wired up: which handlers serve which queue, its periodic tasks and its gauges."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.config.keys import Sealer
from foundation.config.queues import INTAKE_COMMANDS, INTAKE_INSTALLS, INTAKE_ORDERS
from foundation.config.settings import Settings
from foundation.handling.dead_letters import DeadLetters
from foundation.hosting import Server
from foundation.service.lanes import Gauge, Lane, Loop, Parts, Periodic
from services.order_intake.intake import Intake
from services.order_intake.orders import counts
from services.order_intake.rejections import reject_unreadable
from services.order_intake.rows import load

__all__ = ["MIGRATIONS", "IntakeService", "load"]

MIGRATIONS = Path(__file__).parent / "migrations"


class IntakeService:
    """Order intake. It creates accounts on `servers`."""

    def __init__(self, settings: Settings, parts: Parts, servers: Mapping[str, Server]) -> None:
        self._settings = settings.order_intake
        self._parts = parts
        self._vouching = settings.vouching(parts.broker.user)
        self.intake = Intake(settings, servers, Sealer(settings.keys.public))
        self._rereading = (
            self.intake.site_types.rereading(parts.store),
            self.intake.hosting.rereading(parts.store),
        )

    def lanes(self) -> Sequence[Lane]:
        own, intake = self._settings, self.intake
        return (
            Lane(
                INTAKE_ORDERS,
                intake.orders(),
                own.capacity,
                own.threads,
                deadline=own.timeout_seconds,
                leases=intake.leases,
                on_malformed=reject_unreadable,
                on_duplicate=intake.answer_duplicate,
                vouching=self._vouching,
            ),
            Lane(INTAKE_INSTALLS, intake.installs(), own.capacity),
            Lane(INTAKE_COMMANDS, intake.commands(), own.capacity),
        )

    def loops(self) -> Sequence[Loop]:
        parts = self._parts
        dead_letters = DeadLetters(parts.database, INTAKE_ORDERS, reject_unreadable, parts.metrics, parts.heartbeats)
        return (lambda stop: dead_letters.run(parts.broker.consumer, stop),)

    def periodic(self) -> Sequence[Periodic]:
        database = self._parts.database
        return (
            Periodic("recover", 60, lambda: self.intake.recover(database)),
            Periodic("renew_leases", 10, lambda: self.intake.leases.renew(database)),
            *self._rereading,
        )

    def vitals(self) -> Mapping[str, Any]:
        return {}

    def gauges(self) -> Sequence[Gauge]:
        return (Gauge("orders", "Orders by state", counts),)
