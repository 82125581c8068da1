"""How many records there are in each state, kept as they change: to count them takes longer the more there are."""

from collections import Counter

from sqlalchemy import Column, Connection, Integer, String, Table, delete, func, select

from foundation.store import bulk
from foundation.store.types import metadata
from services.api.projection.views import RECORDS

numbers = Table(
    "numbers",
    metadata,
    Column("of", String(16), primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("number", Integer, nullable=False),
)


def change(connection: Connection, changes: Counter[tuple[str, str]]) -> None:
    """Count so many more, or fewer, in these states of orders, installs and letters."""
    for (of, state), number in sorted(changes.items()):
        if number:
            bulk.increase(connection, numbers, {"of": of, "state": state}, number=number)


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """Return how many orders, installs and letters there are in each state."""
    found: dict[str, dict[str, int]] = {of: {} for of in RECORDS}
    for of, state, number in connection.execute(select(numbers).where(numbers.c.number > 0)):
        found[of][state] = number
    return found


def recount(connection: Connection) -> None:
    """Count the records themselves, whatever is kept."""
    connection.execute(delete(numbers))
    for of, records in RECORDS.items():
        state = records.table.c.state
        for found, number in connection.execute(select(state, func.count()).group_by(state)).all():
            bulk.increase(connection, numbers, {"of": of, "state": found}, number=number)
