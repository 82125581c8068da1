"""Count the rows of a table by state."""

from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, func, select

StateT = TypeVar("StateT", bound=StrEnum)


def by_state(connection: Connection, column: Column[Any], states: type[StateT]) -> dict[StateT, int]:
    """Return the number of rows in each state, 0 for states without rows."""
    grouped = connection.execute(select(column, func.count()).group_by(column))
    return dict.fromkeys(states, 0) | {states(state): number for state, number in grouped}
