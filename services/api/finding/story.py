"""All that is known of one order or one install."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, select

from foundation.store.in_list import in_list
from foundation.store.records import Records
from services.api.projection.steps import steps
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, InstallView, LetterView, OrderView


@dataclass(frozen=True)
class Story:
    """An order with its installs and letters, the newest generation first."""

    order: OrderView
    installs: Sequence[InstallView]
    letters: Sequence[LetterView]

    @staticmethod
    def of(connection: Connection, order_id: str, placed_by: str | None = None) -> "Story | None":
        """Return the story of an order; None if nothing was told of it, or another than `placed_by` placed it."""
        story = stories(connection, [order_id]).get(order_id)
        return None if story is None or placed_by not in {None, story.order.placed_by} else story

    @property
    def newest(self) -> InstallView | None:
        return self.installs[0] if self.installs else None

    def install(self, install_id: str) -> InstallView | None:
        return next((one for one in self.installs if one.install_id == install_id), None)

    def letter_of(self, install_id: str) -> LetterView | None:
        return next((one for one in self.letters if one.install_id == install_id), None)

    @property
    def letter(self) -> LetterView | None:
        """The letter of the newest install that has one."""
        return self.letters[0] if self.letters else None


def stories(connection: Connection, order_ids: Collection[str]) -> Mapping[str, Story]:
    """Return the stories of many orders by their ids, in three queries; without those of which nothing was told."""
    orders, installs, letters = (_of(connection, records, order_ids) for records in (ORDERS, INSTALLS, LETTERS))
    return {id: Story(order, installs.get(id, []), letters.get(id, [])) for id, [order] in orders.items()}


def _of(connection: Connection, records: Records[Any], order_ids: Collection[str]) -> Mapping[str, list[Any]]:
    columns = records.table.c
    theirs = in_list(columns.order_id, connection.dialect.name)
    order = [columns.generation.desc()] if "generation" in columns else []
    found: dict[str, list[Any]] = {}
    query = records.select().where(theirs).order_by(*order)
    for row in records.read(connection.execute(query, {"wanted": sorted(order_ids)})):
        found.setdefault(row.order_id, []).append(row)
    return found


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
