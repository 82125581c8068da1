"""All that is known of one order or one install."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar

from sqlalchemy import Connection, select

from foundation.store.records import Records
from services.api.projection.steps import steps
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, InstallView, LetterView, OrderView

R = TypeVar("R")


@dataclass(frozen=True)
class Story:
    """An order with its installs and letters, the newest generation first."""

    order: OrderView
    installs: Sequence[InstallView]
    letters: Sequence[LetterView]

    @classmethod
    def of(cls, connection: Connection, order_id: str, placed_by: str | None = None) -> Self | None:
        """Return the story of an order; None if nothing was told of it, or another than `placed_by` placed it."""
        order = ORDERS.get(connection, order_id)
        if order is None or (placed_by is not None and order.placed_by != placed_by):
            return None
        return cls(order, _of(connection, INSTALLS, order_id), _of(connection, LETTERS, order_id))

    @property
    def newest(self) -> InstallView | None:
        return self.installs[0] if self.installs else None

    @property
    def letter(self) -> LetterView | None:
        """The letter of the newest install that has one."""
        return self.letters[0] if self.letters else None


def _of(connection: Connection, records: Records[R], order_id: str) -> list[R]:
    columns = records.table.c
    query = records.select().where(columns.order_id == order_id).order_by(columns.generation.desc())
    return records.read(connection.execute(query))


@dataclass(frozen=True)
class StepTaken:
    """One step of an attempt."""

    attempt: int
    step: str
    begun_at: datetime
    seconds: float | None
    """None while it runs."""

    @classmethod
    def all(cls, connection: Connection, install_id: str) -> list[Self]:
        """Return the steps of all attempts of an install, the first first."""
        wanted = (steps.c.attempt, steps.c.step, steps.c.begun_at, steps.c.seconds)
        found = select(*wanted).where(steps.c.install_id == install_id).order_by(steps.c.id)
        return [cls(*row) for row in connection.execute(found)]
